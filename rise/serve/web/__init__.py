"""What both servers share, `rise serve` and `rise view`: against pages of other origins and against clients that only cost.

hosts               → the names by which a server may be called
connections         → limits on headers, idle time, slow readers, the number of connections
answers, plain_json → JSON that is UTF-8 whatever is in it
"""
