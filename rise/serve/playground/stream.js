// A chat completion as it comes in. Talks to the server this page came from, in the API any other client uses.

export class Trouble extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The data of server-sent events in pieces of text that may be cut anywhere; comments are passed over. */
export class Events {
  #rest = "";

  push(text) {
    const events = (this.#rest + text).split("\n\n");
    this.#rest = events.pop();
    return events.flatMap((event) => event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)));
  }
}

/** Chunks of one completion. Throws `Trouble` for an error object, before the stream or in it. */
export async function* complete(body, { key, signal }) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) throw await refusal(response);
  const decoder = new TextDecoder();
  const events = new Events();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Trouble("The connection ended before the reply did.", 0);
    for (const data of events.push(decoder.decode(value, { stream: true }))) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Trouble(chunk.error.message, 200);
      yield chunk;
    }
  }
}

export async function models(key) {
  const response = await fetch("/v1/models", { headers: key ? { authorization: `Bearer ${key}` } : {} });
  if (!response.ok) throw await refusal(response);
  return (await response.json()).data;
}

async function refusal(response) {
  try {
    return new Trouble((await response.json()).error.message, response.status);
  } catch {
    return new Trouble(`The server answered with status ${response.status}.`, response.status);
  }
}

/** Problems to try: id and question. */
export async function problems(key) {
  const response = await fetch("/v1/rise/problems", { headers: key ? { authorization: `Bearer ${key}` } : {} });
  if (!response.ok) throw await refusal(response);
  return (await response.json()).problems;
}

/** The gold answer of such a problem and the verdicts on replies to it. */
export async function judged(id, replies, key) {
  const response = await fetch(`/v1/rise/problems/${encodeURIComponent(id)}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ replies }),
  });
  if (!response.ok) throw await refusal(response);
  return response.json();
}
