import { Ring } from "./ring.js";
const CAPACITY_SECONDS = 0.5;
const READY_MS = 20000;
const OPENING_MS = 300000;
const SILENCE = 1e-5;
export class Player extends EventTarget {
    ready;
    gaps = 0;
    store = 0;
    load = 0;
    static async open(model, seed, { second = null, told = () => { }, seconds } = {}) {
        const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
        try {
            const both = second ? { second: second.model, way: second.way } : {};
            const ready = await opened(worker, { type: "open", model, seed, ...both }, told);
            const context = new AudioContext({ sampleRate: ready.rate, latencyHint: "interactive" });
            await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
            const player = new Player(worker, context, ready, seconds);
            await context.resume();
            return player;
        }
        catch (error) {
            worker.postMessage({ close: true });
            throw error;
        }
    }
    constructor(worker, context, ready, seconds) {
        super();
        this.ready = ready;
        this.worker = worker;
        this.context = context;
        const shared = globalThis.crossOriginIsolated === true && "SharedArrayBuffer" in globalThis;
        const capacity = 2 ** Math.ceil(Math.log2(CAPACITY_SECONDS * ready.rate));
        const buffer = Ring.buffer(capacity, shared);
        this.node = new AudioWorkletNode(context, "wavewright-player", {
            numberOfInputs: 0,
            outputChannelCount: [1],
            processorOptions: { buffer, seconds },
        });
        if (shared)
            worker.postMessage({ play: buffer });
        else {
            const { port1, port2 } = new MessageChannel();
            this.node.port.postMessage(port1, [port1]);
            worker.postMessage({ play: port2 }, [port2]);
        }
        this.gain = new GainNode(context);
        this.analyser = new AnalyserNode(context, { fftSize: 2048 });
        this.node.connect(this.gain).connect(this.analyser).connect(context.destination);
        this.heard = new Float32Array(this.analyser.fftSize);
        worker.onmessage = ({ data }) => this.#receive(data);
    }
    #receive(message) {
        if (message.type === "store") {
            this.gaps = message.gaps;
            this.store = message.seconds;
        }
        else if (message.type === "load")
            this.load = message.share;
        this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
    }
    #send(message) {
        this.worker.postMessage({ send: message });
    }
    note_on(key, velocity = 100) {
        this.#send({ type: "note_on", key, velocity });
    }
    note_off(key) {
        this.#send({ type: "note_off", key });
    }
    pedal(position) {
        this.#send({ type: "pedal", position });
    }
    score(score) {
        this.#send({ type: "score", score });
    }
    hear(deck) {
        this.#send({ type: "hear", deck });
    }
    panic() {
        this.#send({ type: "panic" });
    }
    control(name, value) {
        this.#send({ type: "control", name, value });
    }
    curve(name, points) {
        this.#send({ type: "curve", name, points });
    }
    prime(recording, seconds) {
        this.#send({ type: "prime", recording, seconds });
    }
    bank(what, slot) {
        this.#send({ type: "bank", do: what, slot });
    }
    record(on) {
        this.#send({ type: "record", on });
    }
    set volume(gain) {
        this.gain.gain.setTargetAtTime(gain, this.context.currentTime, 0.01);
    }
    get latency() {
        const { block, rate } = this.ready;
        return this.store + (2 * block) / rate + this.context.baseLatency + (this.context.outputLatency || 0);
    }
    wave() {
        this.analyser.getFloatTimeDomainData(this.heard);
        return this.heard;
    }
    level() {
        let peak = SILENCE;
        for (const sample of this.wave())
            peak = Math.max(peak, Math.abs(sample));
        return 20 * Math.log10(peak);
    }
    async close() {
        this.node.port.postMessage("close");
        this.worker.postMessage({ close: true });
        if (this.context.state !== "closed")
            await this.context.close();
    }
}
function opened(worker, open, told) {
    return new Promise((done, failed) => {
        const wait = (time) => setTimeout(() => failed(new Error("the server does not answer; see its terminal")), time);
        let late = wait(READY_MS);
        const refuse = (line) => {
            clearTimeout(late);
            failed(new Error(line));
        };
        worker.onmessage = ({ data }) => {
            if (data.type === "error")
                refuse(data.message);
            if (data.type === "closed")
                refuse("the server ended the connection; see its terminal");
            if (data.type === "opening") {
                clearTimeout(late);
                late = wait(OPENING_MS);
                told(data.line);
            }
            if (data.type !== "ready")
                return;
            clearTimeout(late);
            done(data);
        };
        worker.onerror = () => refuse("the player's worker could not be loaded; reload the page");
        const url = new URL("/ws/play", location.href);
        url.protocol = url.protocol.replace("http", "ws");
        worker.postMessage({ url: url.href, open });
    });
}
