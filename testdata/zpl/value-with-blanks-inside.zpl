a = x y z
