a = it's
