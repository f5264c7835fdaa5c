a = x	y
