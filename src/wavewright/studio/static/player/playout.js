const FADE_SECONDS = 0.003;
const STEP_SECONDS = 0.01;
const CLOSE_SECONDS = 0.01;
const MOST_SECONDS = 0.2;
const CALM_SECONDS = 30;
const SPARE_SECONDS = 0.03;
export class Playout {
    constructor(ring, rate, seconds = 0.05) {
        this.ring = ring;
        this.rate = rate;
        this.least = Math.round(seconds * rate);
        this.most = Math.max(this.least, Math.round(MOST_SECONDS * rate));
        this.step = Math.round(STEP_SECONDS * rate);
        this.close = Math.round(CLOSE_SECONDS * rate);
        this.enough = Math.round(SPARE_SECONDS * rate);
        this.fade = Math.round(FADE_SECONDS * rate);
        this.playing = false;
        this.calm = 0;
        this.spare = Infinity;
        this.last = 0;
        this.rising = 0;
        this.falling = 0;
        ring.target = this.least;
    }
    play(output) {
        if (!this.playing && this.ring.filled >= this.ring.target) {
            this.playing = true;
            this.rising = this.fade;
        }
        const count = this.playing ? this.ring.read(output) : 0;
        for (let i = 0; i < count && this.rising; i++)
            output[i] *= 1 - this.rising-- / this.fade;
        if (count) {
            this.last = output[count - 1];
            this.falling = 0;
        }
        if (count < output.length)
            this.#fall(output, count);
        if (this.playing)
            this.#adapt(output.length, count < output.length);
    }
    #fall(output, start) {
        if (this.playing)
            this.falling = this.fade;
        for (let i = start; i < output.length; i++) {
            output[i] = this.falling ? (this.last * --this.falling) / this.fade : 0;
        }
    }
    #adapt(samples, gap) {
        this.calm += samples;
        if (gap) {
            this.playing = false;
            this.ring.count_gap();
        }
        if (this.calm > this.ring.target)
            this.spare = Math.min(this.spare, this.ring.filled);
        if (gap || this.spare < this.close)
            this.#aim(this.step);
        else if (this.calm >= CALM_SECONDS * this.rate)
            this.#aim(this.spare >= this.enough ? -this.step : 0);
    }
    #aim(change) {
        this.ring.target = Math.max(this.least, Math.min(this.most, this.ring.target + change));
        this.calm = 0;
        this.spare = Infinity;
    }
}
