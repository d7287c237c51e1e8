"""`rise serve`: a policy that corrects itself, behind the chat completions API that clients already speak. Extra: [serve].

gate, vote, revise  → one conversation: admitted, turned over, decided           (nothing of the web in them)
wire                → what requests and responses look like
guard, meters, app  → the server around it: key, limits, log, metrics, routes
playground/         → the page in the same server
"""
