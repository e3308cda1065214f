import { storeOf } from "./store.js";
const GRANT_MS = 4;
let socket;
let store;
let granted = 0;
let rate = 0;
let block = 0;
let gaps = 0;
let target = 0;
function grant() {
    const state = store.state;
    const wanted = state.target + block;
    const samples = (state.read + wanted - granted) | 0;
    if (state.target && samples > 0 && socket.readyState === WebSocket.OPEN) {
        granted = (granted + samples) | 0;
        socket.send(JSON.stringify({ type: "credit", samples }));
    }
    if (state.gaps !== gaps || state.target !== target) {
        gaps = state.gaps;
        target = state.target;
        postMessage({ type: "store", gaps, seconds: target / rate });
    }
}
function open(url, first) {
    socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify(first));
    socket.onmessage = ({ data }) => {
        if (typeof data !== "string")
            return store.write(new Float32Array(data));
        const message = JSON.parse(data);
        if (message.type === "ready")
            ({ rate, block } = message);
        postMessage(message);
    };
    socket.onclose = ({ code }) => postMessage({ type: "closed", code });
}
self.onmessage = ({ data }) => {
    if (data.open)
        open(data.url, data.open);
    else if (data.play) {
        store = storeOf(data.play);
        setInterval(grant, GRANT_MS);
    }
    else if (data.send && socket.readyState === WebSocket.OPEN)
        socket.send(JSON.stringify(data.send));
    else if (data.close) {
        socket.close();
        self.close();
    }
};
