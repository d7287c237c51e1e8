"""`rise serve`: a policy that corrects itself, behind the chat completions API that clients already speak. Extra: [serve].

admission, vote, revise  → one conversation: admitted, played over several turns, decided by vote (nothing of the web in them)
requests, responses      → what is read and what is sent
schema                   → the same in /openapi.json
conversation             → the choices of one request while they are played
chat, stream             → the chat route: sends a completion or a stream of chunks
middleware, meters, app  → the server around it: key, limits, log, metrics, routes
run                      → starts it
web/                     → what the viewer's server has as well: names it is called by, limits on connections
playground/              → the page in the same server
"""
