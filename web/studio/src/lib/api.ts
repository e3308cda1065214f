// Requests to the server. What it refuses is thrown with its one line.

const SILENT = "The server does not answer."
const AGAIN = " Start `wavewright studio` again, and open the link that it prints."
const UNSIGNED = "This page is not signed in. Open the link that `wavewright studio` printed in its terminal."

/** Requests of the owner, or of an invited listener who has a token. */
export class Requests {
  constructor(private readonly token = "") {}

  /** Ask for a file. */
  fetch(url: string, more: RequestInit = {}): Promise<Response> {
    const bearer: HeadersInit = this.token ? { authorization: `Bearer ${this.token}` } : {}
    return fetch(url, { ...more, headers: { ...bearer, ...more.headers } })
  }

  async send<T>(method: string, path: string, body?: unknown): Promise<T> {
    let answer: Response
    try {
      answer = await this.fetch(`/api/${path}`, {
        method,
        headers: body === undefined || body instanceof Blob ? {} : { "content-type": "application/json" },
        body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
      })
    } catch {
      throw new Error(SILENT + (this.token ? " Try again in a moment." : AGAIN))
    }
    if (!answer.ok) {
      if (answer.status === 401 && !this.token) throw new Error(UNSIGNED)
      throw new Error(refusal(answer.status, await answer.text()))
    }
    return (answer.status === 204 ? undefined : await answer.json()) as T
  }
}

export const owner = new Requests()

export function api<T>(method: string, path: string, body?: unknown): Promise<T> {
  return owner.send<T>(method, path, body)
}

/** Send a file, and tell how far it is, 0 to 1. */
export function upload(file: File, told: (share: number) => void): Promise<void> {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest()
    request.open("PUT", `/api/recordings?name=${encodeURIComponent(file.name)}`)
    request.upload.onprogress = ({ loaded, total }) => told(total ? loaded / total : 1)
    request.onload = () =>
      request.status < 300
        ? done()
        : failed(new Error(request.status === 401 ? UNSIGNED : refusal(request.status, request.responseText)))
    request.onerror = () => failed(new Error(`${SILENT} Drop the file again when it does.`))
    request.send(file)
  })
}

function refusal(status: number, text: string): string {
  try {
    const { error } = JSON.parse(text)
    if (typeof error === "string") return error
  } catch {
    // no JSON: a line of our own
  }
  return `The server answered with status ${status}. Its terminal says why.`
}
