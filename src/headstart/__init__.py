"""headstart: does a head start help, which one, how much is it worth, and is that real?"""
