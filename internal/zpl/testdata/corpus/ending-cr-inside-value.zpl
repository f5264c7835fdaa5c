a = xy
