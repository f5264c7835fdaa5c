a = 'say "x"'
