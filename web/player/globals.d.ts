// What the audio thread has beside a page's own names. TypeScript's library leaves it out.
declare const sampleRate: number
declare class AudioWorkletProcessor {
  readonly port: MessagePort
}
declare function registerProcessor(name: string, processor: new (options: any) => AudioWorkletProcessor): void
