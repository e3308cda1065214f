// The lanes and operations of simd.hpp, in four registers of WebAssembly. Only simd.hpp includes this file, within its
// namespace.

struct Floats {
    v128_t v[4];
};
struct Ints {
    v128_t v[4];
};
inline Floats load(const float* p) {
    return {{wasm_v128_load(p), wasm_v128_load(p + 4), wasm_v128_load(p + 8), wasm_v128_load(p + 12)}};
}
inline void store(float* p, Floats a) {
    for (int i = 0; i < 4; i++) wasm_v128_store(p + 4 * i, a.v[i]);
}
inline Floats splat(float x) {
    const v128_t v = wasm_f32x4_splat(x);
    return {{v, v, v, v}};
}
inline Floats fma(Floats a, Floats b, Floats c) {
    for (int i = 0; i < 4; i++) c.v[i] = wasm_f32x4_add(wasm_f32x4_mul(a.v[i], b.v[i]), c.v[i]);
    return c;
}
inline Floats minus_fma(Floats a, Floats b, Floats c) {
    for (int i = 0; i < 4; i++) c.v[i] = wasm_f32x4_sub(c.v[i], wasm_f32x4_mul(a.v[i], b.v[i]));
    return c;
}
inline Floats times(Floats a, Floats b) {
    for (int i = 0; i < 4; i++) a.v[i] = wasm_f32x4_mul(a.v[i], b.v[i]);
    return a;
}
inline Ints plus(Ints a, Ints b) {
    for (int i = 0; i < 4; i++) a.v[i] = wasm_i32x4_add(a.v[i], b.v[i]);
    return a;
}
inline Ints load_words(const void* p) {
    Ints a;
    for (int i = 0; i < 4; i++) a.v[i] = wasm_v128_load(static_cast<const char*>(p) + 16 * i);
    return a;
}
inline Floats even(Ints a) {
    Floats x;
    for (int i = 0; i < 4; i++) x.v[i] = wasm_i32x4_shl(a.v[i], 16);
    return x;
}
inline Floats odd(Ints a) {
    Floats x;
    for (int i = 0; i < 4; i++) x.v[i] = wasm_v128_and(a.v[i], wasm_i32x4_splat(static_cast<int>(0xffff0000u)));
    return x;
}
inline Ints zero() {
    const v128_t v = wasm_i32x4_splat(0);
    return {{v, v, v, v}};
}
inline Ints splat_word(const void* p) {
    const v128_t v = wasm_v128_load32_splat(p);
    return {{v, v, v, v}};
}
inline Ints dot_fours(Ints sums, Ints x, Ints w) {
    for (int i = 0; i < 4; i++) {
        const v128_t low =
            wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(x.v[i]), wasm_i16x8_extend_low_i8x16(w.v[i]));
        const v128_t high =
            wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(x.v[i]), wasm_i16x8_extend_high_i8x16(w.v[i]));
        const v128_t first = wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
        const v128_t second = wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
        sums.v[i] = wasm_i32x4_add(sums.v[i], wasm_i32x4_add(first, second));
    }
    return sums;
}
inline void hide(Ints&) {}  // Nobody measures a browser's limits.
inline Floats to_floats(Ints a) {
    Floats x;
    for (int i = 0; i < 4; i++) x.v[i] = wasm_f32x4_convert_i32x4(a.v[i]);
    return x;
}
