a = x
