// Files on their way to the server, a few at once.

import { upload } from "./api"
import { studio } from "./studio.svelte"

const AT_ONCE = 3 // the server takes 4
const SOUNDS = /\.(wav|wave|flac|mp3|ogg|oga|opus|aiff?|aifc|au|caf|w64|rf64|mid|midi)$/i

export interface Upload {
  id: number
  name: string
  share: number
  error: string
}

class Uploads {
  list = $state<Upload[]>([])
  #waiting: [Upload, File][] = []
  #running = 0
  #count = 0

  /** Send the sounds and scores among the files, and say how many others there were. */
  add(files: File[]): void {
    const sounds = files.filter((file) => SOUNDS.test(file.name))
    const others = files.length - sounds.length
    if (others) studio.say(`${others} of ${files.length} files are neither sounds nor MIDI scores, and stay where they are.`)
    for (const file of sounds) {
      this.list.push({ id: ++this.#count, name: file.name, share: 0, error: "" })
      this.#waiting.push([this.list.at(-1)!, file])
    }
    while (this.#running < AT_ONCE && this.#waiting.length) void this.#work()
  }

  remove(id: number): void {
    this.list = this.list.filter((entry) => entry.id !== id)
  }

  async #work(): Promise<void> {
    this.#running++
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      const [entry, file] = next
      try {
        await upload(file, (share) => (entry.share = share))
        this.remove(entry.id)
      } catch (error) {
        entry.error = (error as Error).message
      }
      await studio.refresh("recordings").catch(() => {})
    }
    this.#running--
  }
}

export const uploads = new Uploads()

/** The files of a drop, those in folders too. */
export async function dropped(data: DataTransfer): Promise<File[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null)
  if (!entries.length) return [...data.files]
  return (await Promise.all(entries.map(inside))).flat()
}

async function inside(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) return [await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed))]
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  const found: File[] = []
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed))
    if (!part.length) return found
    for (const each of part) found.push(...(await inside(each)))
  }
}
