a = "it's "q""
