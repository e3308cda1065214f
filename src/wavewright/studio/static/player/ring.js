const WRITTEN = 0;
const READ = 1;
const TARGET = 2;
const GAPS = 3;
const HEADER = 4;
export class Ring {
    static buffer(capacity, shared) {
        if (!(capacity > 0) || capacity & (capacity - 1))
            throw new RangeError(`capacity: ${capacity}; give a power of two`);
        const bytes = 4 * (HEADER + capacity);
        return shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
    }
    constructor(buffer) {
        this.header = new Int32Array(buffer, 0, HEADER);
        this.samples = new Float32Array(buffer, 4 * HEADER);
        this.mask = this.samples.length - 1;
    }
    get filled() {
        return (Atomics.load(this.header, WRITTEN) - Atomics.load(this.header, READ)) | 0;
    }
    get read_so_far() {
        return Atomics.load(this.header, READ);
    }
    get target() {
        return Atomics.load(this.header, TARGET);
    }
    set target(samples) {
        Atomics.store(this.header, TARGET, samples);
    }
    get gaps() {
        return Atomics.load(this.header, GAPS);
    }
    count_gap() {
        Atomics.add(this.header, GAPS, 1);
    }
    write(samples) {
        const start = Atomics.load(this.header, WRITTEN);
        const count = Math.min(samples.length, this.samples.length - this.filled);
        const place = start & this.mask;
        const first = Math.min(count, this.samples.length - place);
        this.samples.set(samples.subarray(0, first), place);
        this.samples.set(samples.subarray(first, count), 0);
        Atomics.store(this.header, WRITTEN, (start + count) | 0);
        return count;
    }
    read(output) {
        const start = Atomics.load(this.header, READ);
        const count = Math.min(output.length, this.filled);
        for (let i = 0; i < count; i++)
            output[i] = this.samples[(start + i) & this.mask];
        Atomics.store(this.header, READ, (start + count) | 0);
        return count;
    }
}
