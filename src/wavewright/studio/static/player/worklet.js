import { Playout } from "./playout.js";
import { Ring } from "./ring.js";
const UNSHARED_SECONDS = 0.08;
class WavewrightPlayer extends AudioWorkletProcessor {
    constructor(options) {
        super();
        const { buffer, seconds } = options.processorOptions;
        const shared = !(buffer instanceof ArrayBuffer);
        this.ring = new Ring(buffer);
        this.playout = new Playout(this.ring, sampleRate, seconds ?? (shared ? undefined : UNSHARED_SECONDS));
        this.over = false;
        this.worker = null;
        this.port.onmessage = ({ data }) => {
            if (data === "close")
                this.over = true;
            else
                this.#listen(data);
        };
    }
    #listen(port) {
        this.worker = port;
        port.onmessage = ({ data }) => this.ring.write(data);
        this.#tell();
    }
    #tell() {
        this.worker?.postMessage({ read: this.ring.read_so_far, target: this.ring.target, gaps: this.ring.gaps });
    }
    process(_inputs, outputs) {
        this.playout.play(outputs[0][0]);
        this.#tell();
        return !this.over;
    }
}
registerProcessor("wavewright-player", WavewrightPlayer);
