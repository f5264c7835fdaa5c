a = "it's"
