a = 'x y'
