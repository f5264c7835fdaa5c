a = "x y"
