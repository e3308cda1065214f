import { Ring } from "./ring.js";
class SharedStore {
    constructor(buffer) {
        this.ring = new Ring(buffer);
    }
    get state() {
        return { read: this.ring.read_so_far, target: this.ring.target, gaps: this.ring.gaps };
    }
    write(samples) {
        this.ring.write(samples);
    }
}
class SentStore {
    constructor(port) {
        this.port = port;
        this.state = { read: 0, target: 0, gaps: 0 };
        port.onmessage = ({ data }) => (this.state = data);
    }
    write(samples) {
        this.port.postMessage(samples, [samples.buffer]);
    }
}
export const storeOf = (place) => (place instanceof MessagePort ? new SentStore(place) : new SharedStore(place));
