CASES_D_RARE: dict = {}
