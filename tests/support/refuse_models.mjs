// Prints why a page refuses each of the model files that are named, one line a file:
// node refuse_models.mjs FOLDER FILE...
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"

const [folder, ...files] = process.argv.slice(2)
const { weightsOf } = await import(pathToFileURL(join(folder, "page", "model.js")).href)
const { sha256 } = JSON.parse(readFileSync(join(folder, "model.json"), "utf-8"))
for (const file of files) {
  const taken = () => "taken"
  console.log(await weightsOf(Uint8Array.from(readFileSync(file)).buffer, sha256).then(taken, ({ message }) => message))
}
