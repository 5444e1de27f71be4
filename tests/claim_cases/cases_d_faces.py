CASES_D_FACES: dict = {}
