a = "x\"y"
