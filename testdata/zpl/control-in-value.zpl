a = xy
