// Sixteen lanes of float32 and their operations, in the registers of each instruction set. Only kernels.inl includes
// this file. The namespace is unnamed, so that each instruction set has functions of its own.

#if defined(WAVEWRIGHT_SCALAR)
#elif defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

namespace wavewright {
namespace {

// How codes of int8 inputs are multiplied, see dot_fours.
#if defined(WAVEWRIGHT_SCALAR)
constexpr bool kUnsigned = false, kTurns = false;
#elif defined(__AVX512VNNI__) || defined(__AVXVNNI__)
constexpr bool kUnsigned = true, kTurns = false;
#elif defined(__AVX2__)
constexpr bool kUnsigned = false, kTurns = true;
#else
constexpr bool kUnsigned = false, kTurns = false;
#endif
constexpr int kMiddle = kUnsigned ? kUnsignedMiddle : 0;

// a b + c of single numbers. WebAssembly has no instruction that rounds it once. It rounds twice, so the last bits of its
// logits are its own. Nor can it take denormal numbers as zero, which are slow. So functions whose results may become
// such numbers, and come back as a state, leave out what is negligible.
#if defined(__wasm__)
inline float fma(float a, float b, float c) { return a * b + c; }
inline double fma(double a, double b, double c) { return a * b + c; }
inline float without_negligible(float x) { return __builtin_fabsf(x) < 1e-30f ? 0.0f : x; }
#else
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float without_negligible(float x) { return x; }  // See NoDenormals.
#endif

#if defined(__AVX512F__) && !defined(WAVEWRIGHT_SCALAR)

struct Floats {
    __m512 v;
};
struct Ints {
    __v16si v;  // GCC keeps a second copy of running sums whose type is __m512i.
};
inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline Floats splat(float x) { return {_mm512_set1_ps(x)}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats minus_fma(Floats a, Floats b, Floats c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }  // c - a b
inline Floats times(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Ints ints(__m512i a) { return {reinterpret_cast<__v16si>(a)}; }
inline __m512i bits(Ints a) { return reinterpret_cast<__m512i>(a.v); }
inline Ints plus(Ints a, Ints b) { return {a.v + b.v}; }
// Words of 32 bits. As pairs of bfloat16, they have even and odd elements.
inline Ints load_words(const void* p) { return ints(_mm512_loadu_si512(p)); }
// Operators stand for two intrinsics, since GCC 12 warns about its own header there (GCC bug 105593).
inline Floats even(Ints a) { return {reinterpret_cast<__m512>(reinterpret_cast<__v16su>(a.v) << 16)}; }
inline Floats odd(Ints a) {
    return {_mm512_castsi512_ps(_mm512_and_si512(bits(a), _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}
inline Ints zero() { return ints(_mm512_setzero_si512()); }
inline Ints splat_word(const void* p) {
    std::int32_t word;
    __builtin_memcpy(&word, p, 4);
    return ints(_mm512_set1_epi32(word));
}
// Adds four products of an input and a weight, each from -127 to 127, to each sum. The inputs are counted from kMiddle. One
// factor of an instruction must be unsigned. Where kTurns, a sum of two products must fit into 16 bits. So for a negative
// input, its absolute value is multiplied with -w - 1, whose bits are those of w turned over.
#if defined(__AVX512VNNI__)
inline Ints dot_fours(Ints sums, Ints x, Ints w) { return ints(_mm512_dpbusd_epi32(bits(sums), bits(x), bits(w))); }
#else
inline Ints dot_fours(Ints sums, Ints x, Ints w) {
    const __m512i turned = _mm512_xor_si512(bits(w), _mm512_movm_epi8(_mm512_movepi8_mask(bits(x))));
    const __m512i twos = _mm512_maddubs_epi16(_mm512_abs_epi8(bits(x)), turned);
    return plus(sums, ints(_mm512_madd_epi16(twos, _mm512_set1_epi16(1))));
}
#endif
// Makes the compiler take x for unknown.
inline void hide(Ints& x) { __asm__ volatile("" : "+v"(x.v)); }
inline Floats to_floats(Ints a) {
    return {reinterpret_cast<__m512>(__builtin_convertvector(a.v, __v16sf))};
}

#elif defined(__AVX2__) && !defined(WAVEWRIGHT_SCALAR)

struct Floats {
    __m256 a, b;
};
struct Ints {
    __v8si a, b;  // GCC keeps a second copy of running sums whose type is __m256i.
};
inline Floats load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Floats x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
inline Floats splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Floats fma(Floats a, Floats b, Floats c) {
    return {_mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b)};
}
inline Floats minus_fma(Floats a, Floats b, Floats c) {
    return {_mm256_fnmadd_ps(a.a, b.a, c.a), _mm256_fnmadd_ps(a.b, b.b, c.b)};
}
inline Floats times(Floats x, Floats y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Ints ints(__m256i a, __m256i b) { return {reinterpret_cast<__v8si>(a), reinterpret_cast<__v8si>(b)}; }
inline __m256i bits(__v8si half) { return reinterpret_cast<__m256i>(half); }
inline Ints plus(Ints x, Ints y) { return {x.a + y.a, x.b + y.b}; }
inline __m256i load_half(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline Ints load_words(const void* p) { return ints(load_half(p), load_half(static_cast<const char*>(p) + 32)); }
inline Floats even(Ints x) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(bits(x.a), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(bits(x.b), 16))};
}
inline Floats odd(Ints x) {
    const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    return {_mm256_castsi256_ps(_mm256_and_si256(bits(x.a), mask)),
            _mm256_castsi256_ps(_mm256_and_si256(bits(x.b), mask))};
}
inline Ints zero() { return ints(_mm256_setzero_si256(), _mm256_setzero_si256()); }
inline Ints splat_word(const void* p) {
    std::int32_t word;
    __builtin_memcpy(&word, p, 4);
    return ints(_mm256_set1_epi32(word), _mm256_set1_epi32(word));
}
#if defined(__AVXVNNI__)
inline Ints dot_fours(Ints sums, Ints x, Ints w) {
    return ints(_mm256_dpbusd_avx_epi32(bits(sums.a), bits(x.a), bits(w.a)),
                _mm256_dpbusd_avx_epi32(bits(sums.b), bits(x.b), bits(w.b)));
}
#else
inline __m256i fours(__v8si x, __v8si w) {
    const __m256i turned = _mm256_xor_si256(bits(w), _mm256_cmpgt_epi8(_mm256_setzero_si256(), bits(x)));
    const __m256i twos = _mm256_maddubs_epi16(_mm256_abs_epi8(bits(x)), turned);
    return _mm256_madd_epi16(twos, _mm256_set1_epi16(1));
}
inline Ints dot_fours(Ints sums, Ints x, Ints w) { return plus(sums, ints(fours(x.a, w.a), fours(x.b, w.b))); }
#endif
inline void hide(Ints& x) { __asm__ volatile("" : "+x"(x.a), "+x"(x.b)); }
inline Floats to_floats(Ints x) { return {_mm256_cvtepi32_ps(bits(x.a)), _mm256_cvtepi32_ps(bits(x.b))}; }

#elif defined(__ARM_NEON) && !defined(WAVEWRIGHT_SCALAR)

struct Floats {
    float32x4_t v[4];
};
struct Ints {
    int32x4_t v[4];
};
inline Floats load(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}}; }
inline void store(float* p, Floats a) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, a.v[i]);
}
inline Floats splat(float x) {
    const float32x4_t v = vdupq_n_f32(x);
    return {{v, v, v, v}};
}
inline Floats fma(Floats a, Floats b, Floats c) {
    for (int i = 0; i < 4; i++) c.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
    return c;
}
inline Floats minus_fma(Floats a, Floats b, Floats c) {
    for (int i = 0; i < 4; i++) c.v[i] = vfmsq_f32(c.v[i], a.v[i], b.v[i]);
    return c;
}
inline Floats times(Floats a, Floats b) {
    for (int i = 0; i < 4; i++) a.v[i] = vmulq_f32(a.v[i], b.v[i]);
    return a;
}
inline Ints plus(Ints a, Ints b) {
    for (int i = 0; i < 4; i++) a.v[i] = vaddq_s32(a.v[i], b.v[i]);
    return a;
}
inline Ints load_words(const void* p) {
    Ints a;
    for (int i = 0; i < 4; i++) a.v[i] = vld1q_s32(static_cast<const std::int32_t*>(p) + 4 * i);
    return a;
}
inline Floats even(Ints a) {
    Floats x;
    for (int i = 0; i < 4; i++) x.v[i] = vreinterpretq_f32_s32(vshlq_n_s32(a.v[i], 16));
    return x;
}
inline Floats odd(Ints a) {
    Floats x;
    for (int i = 0; i < 4; i++)
        x.v[i] = vreinterpretq_f32_s32(vandq_s32(a.v[i], vdupq_n_s32(static_cast<int>(0xffff0000u))));
    return x;
}
inline Ints zero() {
    const int32x4_t v = vdupq_n_s32(0);
    return {{v, v, v, v}};
}
inline Ints splat_word(const void* p) {
    std::int32_t word;
    __builtin_memcpy(&word, p, 4);
    const int32x4_t v = vdupq_n_s32(word);
    return {{v, v, v, v}};
}
inline Ints dot_fours(Ints sums, Ints x, Ints w) {
    for (int i = 0; i < 4; i++) {
        const int8x16_t inputs = vreinterpretq_s8_s32(x.v[i]), weights = vreinterpretq_s8_s32(w.v[i]);
        const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(inputs), vget_low_s8(weights)));
        const int32x4_t high = vpaddlq_s16(vmull_high_s8(inputs, weights));
        sums.v[i] = vaddq_s32(sums.v[i], vpaddq_s32(low, high));
    }
    return sums;
}
inline void hide(Ints& x) { __asm__ volatile("" : "+w"(x.v[0]), "+w"(x.v[1]), "+w"(x.v[2]), "+w"(x.v[3])); }
inline Floats to_floats(Ints a) {
    Floats x;
    for (int i = 0; i < 4; i++) x.v[i] = vcvtq_f32_s32(a.v[i]);
    return x;
}

#elif defined(__wasm_simd128__) && !defined(WAVEWRIGHT_SCALAR)

#include "simd_wasm.hpp"

#else

struct Floats {
    float v[16];
};
struct Ints {
    std::int32_t v[16];
};
inline Floats load(const float* p) {
    Floats a;
    __builtin_memcpy(a.v, p, sizeof a.v);
    return a;
}
inline void store(float* p, Floats a) { __builtin_memcpy(p, a.v, sizeof a.v); }
inline Floats splat(float x) {
    Floats a;
    for (float& lane : a.v) lane = x;
    return a;
}
inline Floats fma(Floats a, Floats b, Floats c) {
    for (int i = 0; i < 16; i++) c.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
    return c;
}
inline Floats minus_fma(Floats a, Floats b, Floats c) {
    for (int i = 0; i < 16; i++) c.v[i] = __builtin_fmaf(-a.v[i], b.v[i], c.v[i]);
    return c;
}
inline Floats times(Floats a, Floats b) {
    for (int i = 0; i < 16; i++) a.v[i] *= b.v[i];
    return a;
}
inline Ints plus(Ints a, Ints b) {
    for (int i = 0; i < 16; i++) a.v[i] += b.v[i];
    return a;
}
inline Ints load_words(const void* p) {
    Ints a;
    __builtin_memcpy(a.v, p, sizeof a.v);
    return a;
}
inline Floats from_bits(Ints a, int shift, std::uint32_t mask) {
    Floats x;
    for (int i = 0; i < 16; i++) {
        const std::uint32_t bits = (static_cast<std::uint32_t>(a.v[i]) << shift) & mask;
        __builtin_memcpy(&x.v[i], &bits, 4);
    }
    return x;
}
inline Floats even(Ints a) { return from_bits(a, 16, ~0u); }
inline Floats odd(Ints a) { return from_bits(a, 0, 0xffff0000u); }
inline Ints zero() { return {}; }
inline Ints splat_word(const void* p) {
    Ints a;
    for (std::int32_t& lane : a.v) __builtin_memcpy(&lane, p, 4);
    return a;
}
inline Ints dot_fours(Ints sums, Ints x, Ints w) {
    for (int i = 0; i < 16; i++) {
        std::int8_t inputs[4], weights[4];
        __builtin_memcpy(inputs, &x.v[i], 4);
        __builtin_memcpy(weights, &w.v[i], 4);
        for (int k = 0; k < 4; k++) sums.v[i] += inputs[k] * weights[k];
    }
    return sums;
}
inline void hide(Ints& x) { __asm__ volatile("" : "+m"(x)); }
inline Floats to_floats(Ints a) {
    Floats x;
    for (int i = 0; i < 16; i++) x.v[i] = static_cast<float>(a.v[i]);
    return x;
}

#endif

}  // namespace
}  // namespace wavewright
