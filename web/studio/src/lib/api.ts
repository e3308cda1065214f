// Requests to the server. What it refuses is thrown with its one line.

export async function api<T>(method: string, path: string, body?: unknown): Promise<T> {
  let answer: Response
  try {
    answer = await fetch(`/api/${path}`, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
  } catch {
    throw new Error("The server does not answer. Start `wavewright studio` again, and open the link that it prints.")
  }
  if (!answer.ok) throw new Error(refusal(answer.status, await answer.text()))
  return (answer.status === 204 ? undefined : await answer.json()) as T
}

/** Send a file, and tell how far it is, 0 to 1. */
export function upload(file: File, told: (share: number) => void): Promise<void> {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest()
    request.open("PUT", `/api/recordings?name=${encodeURIComponent(file.name)}`)
    request.upload.onprogress = ({ loaded, total }) => told(total ? loaded / total : 1)
    request.onload = () =>
      request.status < 300 ? done() : failed(new Error(refusal(request.status, request.responseText)))
    request.onerror = () => failed(new Error("The server does not answer. Drop the file again when it does."))
    request.send(file)
  })
}

function refusal(status: number, text: string): string {
  if (status === 401)
    return "This page is not signed in. Open the link that `wavewright studio` printed in its terminal."
  try {
    const { error } = JSON.parse(text)
    if (typeof error === "string") return error
  } catch {
    // no JSON: a line of our own
  }
  return `The server answered with status ${status}. Its terminal says why.`
}
