CASES_D_GAN: dict = {}
