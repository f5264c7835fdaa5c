a = "x[2Jy"
