a = "%s%d%n%"
