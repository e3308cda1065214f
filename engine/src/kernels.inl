// Compiled once for each set of instructions, under -ffp-contract=off. Only what is written as fma() is fused, in the
// scalar code too, so every set gives the same bits. No header may bring inline functions of external linkage, since
// the linker would keep one copy for all sets.
#include <cstddef>
#include <cstdint>

#include "kernels.hpp"
#include "simd.hpp"

namespace wavewright {
namespace {

// -- Products. A tile of V x 16 rows by S streams stays in registers, where each loaded weight is used S times.

template <int V, int S>
void tile_float32(const float* w, int columns, const float* x, std::ptrdiff_t stride, float* out, std::ptrdiff_t to) {
    Floats sums[S][V];
    for (int s = 0; s < S; s++)
        for (int v = 0; v < V; v++) sums[s][v] = load(out + s * to + 16 * v);
    for (int c = 0; c < columns; c++, w += kBlock) {
        Floats inputs[S];
        for (int s = 0; s < S; s++) inputs[s] = splat(x[s * stride + c]);
        for (int v = 0; v < V; v++) {
            const Floats weights = load(w + 16 * v);
            for (int s = 0; s < S; s++) sums[s][v] = fma(weights, inputs[s], sums[s][v]);
        }
    }
    for (int s = 0; s < S; s++)
        for (int v = 0; v < V; v++) store(out + s * to + 16 * v, sums[s][v]);
}

template <int V, int S>
void tile_bfloat16(const std::uint16_t* w, int columns, const float* x, std::ptrdiff_t stride, float* out,
                   std::ptrdiff_t to) {
    Floats sums[S][V];
    for (int s = 0; s < S; s++)
        for (int v = 0; v < V; v++) sums[s][v] = load(out + s * to + 16 * v);
    for (int c = 0; c < columns; c += 2, w += 2 * kBlock) {
        if constexpr (S == 1) {
            const Floats first = splat(x[c]), second = splat(x[c + 1]);
            for (int v = 0; v < V; v++) {
                const Ints pairs = load_words(w + 32 * v);
                sums[0][v] = fma(odd(pairs), second, fma(even(pairs), first, sums[0][v]));
            }
        } else {  // one column after the other, which needs fewer registers
            Ints pairs[V];
            for (int v = 0; v < V; v++) pairs[v] = load_words(w + 32 * v);
            for (int column = 0; column < 2; column++) {
                Floats weights[V];
                for (int v = 0; v < V; v++) weights[v] = column ? odd(pairs[v]) : even(pairs[v]);
                for (int s = 0; s < S; s++) {
                    const Floats input = splat(x[s * stride + c + column]);
                    for (int v = 0; v < V; v++) sums[s][v] = fma(weights[v], input, sums[s][v]);
                }
            }
        }
    }
    for (int s = 0; s < S; s++)
        for (int v = 0; v < V; v++) store(out + s * to + 16 * v, sums[s][v]);
}

// Sums of integers are exact in any order. Where one instruction multiplies and adds, two sums of one stream take turns,
// since one would wait for itself.
#if defined(__AVX512VNNI__)
constexpr int kSumsInTurn = 2;
#else
constexpr int kSumsInTurn = 1;
#endif

template <int V, int S>
void tile_int8(const std::int8_t* w, const std::int32_t* starts, const float* scales, int columns, const Operand& x,
               int first, float* out, std::ptrdiff_t to) {
    constexpr int turns = S == 1 ? kSumsInTurn : 1;
    Ints sums[turns][S][V];
    for (int s = 0; s < S; s++)
        for (int v = 0; v < V; v++) {
            sums[turns - 1][s][v] = zero();
            sums[0][s][v] = kUnsigned ? load_words(starts + 16 * v) : splat_word(x.starts + first + s);
        }
    const std::uint8_t* codes = x.codes + first * x.stride;
    const int fours = (columns + 3) / 4;
    int four = 0;
    const auto add = [&](int turn) {
        Ints weights[V];
        for (int v = 0; v < V; v++) weights[v] = load_words(w + 64 * v);
        for (int s = 0; s < S; s++) {
            const Ints input = splat_word(codes + s * x.stride + 4 * four);
            for (int v = 0; v < V; v++) sums[turn][s][v] = dot_fours(sums[turn][s][v], input, weights[v]);
        }
        four++;
        w += 4 * kBlock;
    };
    while (four + turns <= fours)
        for (int turn = 0; turn < turns; turn++) add(turn);
    if (four < fours) add(0);
    for (int s = 0; s < S; s++) {
        const Floats scale = splat(x.scales[first + s]);
        for (int v = 0; v < V; v++) {
            float* const row = out + s * to + 16 * v;
            const Ints sum = turns == 2 ? plus(sums[0][s][v], sums[turns - 1][s][v]) : sums[0][s][v];
            store(row, fma(to_floats(sum), times(load(scales + 16 * v), scale), load(row)));
        }
    }
}

struct Columns {
    int first, count;
};

template <int V, int S>
void tile(const MatrixView& m, int block, int row, Columns part, const Operand& x, int first, float* out,
          std::ptrdiff_t to) {
    const std::byte* data = m.data + block * m.block_bytes;
    out += first * to + row;
    switch (m.precision) {
        case Precision::float32:
            return tile_float32<V, S>(reinterpret_cast<const float*>(data) + part.first * kBlock + row, part.count,
                                      x.values + first * x.stride + part.first, x.stride, out, to);
        case Precision::bfloat16:
            return tile_bfloat16<V, S>(reinterpret_cast<const std::uint16_t*>(data) + part.first * kBlock + 2 * row,
                                       part.count, x.values + first * x.stride + part.first, x.stride, out, to);
        case Precision::int8:
            return tile_int8<V, S>(reinterpret_cast<const std::int8_t*>(data) + 4 * row,
                                   m.starts + block * kBlock + row, m.scales + block * kBlock + row, m.columns, x,
                                   first, out, to);
    }
}

// Streams from `first` on, in tiles of S, and what remains in smaller ones.
template <int V, int S>
void tiles(const MatrixView& m, int block, Columns part, const Operand& x, int first, int streams, float* out,
           std::ptrdiff_t to) {
    for (; first + S <= streams; first += S)
        for (int row = 0; row < kBlock; row += 16 * V) tile<V, S>(m, block, row, part, x, first, out, to);
    if constexpr (S > 1)
        if (first < streams) tiles<S == 2 ? 4 : V, S - 1>(m, block, part, x, first, streams, out, to);
}

// Several tiles read the same weights. So they take some columns after the others, whose weights stay in the nearest
// cache. An int8 sum is scaled once, so its tiles take all columns.
constexpr int kNear = 16384;  // bytes

template <int V, int S>
void panels(const MatrixView& m, int block, const Operand& x, int streams, float* out, std::ptrdiff_t to) {
    const int columns = kNear / kBlock / (m.precision == Precision::float32 ? 4 : 2);
    const int panel = streams <= S || m.precision == Precision::int8 ? m.columns : columns;
    for (int c = 0; c < m.columns; c += panel)
        tiles<V, S>(m, block, {c, m.columns - c < panel ? m.columns - c : panel}, x, 0, streams, out, to);
}

void product(const MatrixView& m, int block, const Operand& x, int streams, float* out, std::ptrdiff_t to) {
#if defined(__AVX512F__)
    panels<4, 4>(m, block, x, streams, out, to);
#elif defined(__wasm__)
    panels<2, 1>(m, block, x, streams, out, to);  // A page plays one stream, and loads every function that there is.
#else
    if (m.precision == Precision::float32) return panels<2, 3>(m, block, x, streams, out, to);
    if (m.precision == Precision::bfloat16) return panels<1, 6>(m, block, x, streams, out, to);
    panels<2, 2>(m, block, x, streams, out, to);
#endif
}

float quantise(const float* x, int count, std::uint8_t* codes, std::int32_t* start) {
    std::uint32_t greatest = 0;
    for (int i = 0; i < count; i++) {
        std::uint32_t bits;
        __builtin_memcpy(&bits, x + i, 4);
        bits &= 0x7fffffffu;
        greatest = bits > greatest ? bits : greatest;
    }
    float peak;
    __builtin_memcpy(&peak, &greatest, 4);
    const bool silent = !(peak > 1e-30f);
    const float up = silent ? 0.0f : kFarthest / peak;
    for (int i = 0; i < count; i++) {
        const float rounded = x[i] * up + (12582912.0f + kMiddle);  // the integer, ties to even, is in the lowest bits
        std::uint32_t bits;
        __builtin_memcpy(&bits, &rounded, 4);
        codes[i] = static_cast<std::uint8_t>(bits);
    }
    for (int i = count; i % 4; i++) codes[i] = kMiddle;  // A product takes four columns at once.
    std::int32_t lacking = 0;  // A product with -w - 1 lacks the input's absolute value.
    if (kTurns)
        for (int i = 0; i < count; i++) {
            const auto code = static_cast<std::int8_t>(codes[i]);
            lacking -= code < 0 ? code : 0;
        }
    *start = lacking;
    return silent ? 0.0f : peak / kFarthest;
}

// -- Elementwise functions. They are plain loops, which the compiler vectorises.

// e^x within 1 in 10^7, for -87 <= x <= 88. It is 2^n times a Taylor polynomial on [-ln 2 / 2, ln 2 / 2].
inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float shifted =
        fma(x, 1.44269504f, 12582912.0f);  // adds 1.5 * 2^23, so that n is in the lowest bits
    const float n = shifted - 12582912.0f;
    float r = fma(n, -0.693145751953125f, x);
    r = fma(n, -1.42860677e-6f, r);
    float p = 1.0f / 5040;
    p = fma(p, r, 1.0f / 720);
    p = fma(p, r, 1.0f / 120);
    p = fma(p, r, 1.0f / 24);
    p = fma(p, r, 1.0f / 6);
    p = fma(p, r, 0.5f);
    p = fma(p, r, 1.0f);
    p = fma(p, r, 1.0f);
    std::uint32_t bits, exponent;
    __builtin_memcpy(&bits, &p, 4);
    __builtin_memcpy(&exponent, &shifted, 4);
    bits += exponent << 23;
    __builtin_memcpy(&p, &bits, 4);
    return p;
}

// e^x in float64, within 1 in 10^15, for x <= 0. It is 0 below -708, where float64 loses precision.
inline double exponential(double x) {
    const double kept = x < -708.0 ? -708.0 : x;
    const double shifted = fma(kept, 1.4426950408889634, 6755399441055744.0);
    const double n = shifted - 6755399441055744.0;
    double r = fma(n, -0.693147180369123816490, kept);
    r = fma(n, -1.90821492927058770002e-10, r);
    double p = 1.0 / 6227020800;
    p = fma(p, r, 1.0 / 479001600);
    p = fma(p, r, 1.0 / 39916800);
    p = fma(p, r, 1.0 / 3628800);
    p = fma(p, r, 1.0 / 362880);
    p = fma(p, r, 1.0 / 40320);
    p = fma(p, r, 1.0 / 5040);
    p = fma(p, r, 1.0 / 720);
    p = fma(p, r, 1.0 / 120);
    p = fma(p, r, 1.0 / 24);
    p = fma(p, r, 1.0 / 6);
    p = fma(p, r, 0.5);
    p = fma(p, r, 1.0);
    p = fma(p, r, 1.0);
    std::uint64_t bits, exponent;
    __builtin_memcpy(&bits, &p, 8);
    __builtin_memcpy(&exponent, &shifted, 8);
    bits += exponent << 52;
    __builtin_memcpy(&p, &bits, 8);
    return x < -708.0 ? 0.0 : p;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }
inline float tangent(float x) { return 1.0f - 2.0f / (1.0f + exponential(2.0f * x)); }

void lstm(const float* gates, float* cell, float* hidden) {
    for (int i = 0; i < 16; i++) {
        const float kept = sigmoid(gates[16 + i]) * cell[i];
        cell[i] = without_negligible(fma(sigmoid(gates[i]), tangent(gates[32 + i]), kept));
        hidden[i] = without_negligible(sigmoid(gates[48 + i]) * tangent(cell[i]));
    }
}

void gru(const float* gates, const float* before, float* hidden) {
    for (int i = 0; i < 16; i++) {
        const float reset = sigmoid(gates[i]), update = sigmoid(gates[16 + i]);
        const float fresh = tangent(fma(reset, gates[48 + i], gates[32 + i]));
        hidden[i] = without_negligible(fma(update, before[i] - fresh, fresh));
    }
}

void gate(const float* pre, float* z) {
    for (int i = 0; i < kBlock / 2; i++) z[i] = without_negligible(tangent(pre[i]) * sigmoid(pre[kBlock / 2 + i]));
}

void glu(const float* pre, float* x) {
    for (int i = 0; i < kBlock / 2; i++) x[i] = fma(pre[i], sigmoid(pre[kBlock / 2 + i]), x[i]);
}

void gelu(float* x, int count) {  // (1 + tanh(z)) / 2 = sigmoid(2 z)
    for (int i = 0; i < count; i++) x[i] *= sigmoid(x[i] * fma(x[i] * x[i], 0.0713548163f, 1.5957691216f));
}

void normalise(const float* x, int size, int count, float* y) {
    Floats squares = splat(0);
    for (int i = 0; i < count; i += 16) {
        const Floats part = load(x + i);
        squares = fma(part, part, squares);
    }
    float lanes[16], total = 0;
    store(lanes, squares);
    for (float lane : lanes) total += lane;
    const Floats factor = splat(1.0f / __builtin_sqrtf(total / static_cast<float>(size) + 1e-5f));
    for (int i = 0; i < count; i += 16) store(y + i, times(load(x + i), factor));
}

void diagonal(const DiagonalView& view, int first, int last, const float* u, float* state, float* y) {
    const std::ptrdiff_t stride = view.stride;
    for (int channel = first; channel < last; channel += 16) {
        const Floats input = load(u + channel);
        Floats sum = times(load(view.direct + channel), input);
        const float* constants = view.constants + channel;
        float* h = state + channel;
        for (int mode = 0; mode < view.modes; mode++, constants += DiagonalView::kRows * stride, h += 2 * stride) {
            const Floats real = load(h), imaginary = load(h + stride);
            const Floats a = load(constants), b = load(constants + stride);
            const Floats a_rest = load(constants + 2 * stride), b_rest = load(constants + 3 * stride);
            const Floats small_real = fma(a_rest, real, minus_fma(b_rest, imaginary, input));
            const Floats small_imaginary = fma(a_rest, imaginary, times(b_rest, real));
            const Floats next_real = fma(a, real, minus_fma(b, imaginary, small_real));
            const Floats next_imaginary = fma(a, imaginary, fma(b, real, small_imaginary));
            store(h, next_real);
            store(h + stride, next_imaginary);
            sum = fma(load(constants + 4 * stride), next_real, sum);
            sum = minus_fma(load(constants + 5 * stride), next_imaginary, sum);
        }
        store(y + channel, sum);
    }
}

void add(float* to, const float* from, int count) {
    for (int i = 0; i < count; i++) to[i] += from[i];
}

void add_scaled(float* to, const float* from, float factor, int count) {
    for (int i = 0; i < count; i++) to[i] = fma(from[i], factor, to[i]);
}

void relu(float* to, const float* from, int count) {
    for (int i = 0; i < count; i++) to[i] = from[i] > 0.0f ? from[i] : 0.0f;
}

int weigh(const float* logits, int count, double temperature, double* weights) {
    float greatest = logits[0];
    for (int i = 1; i < count; i++) greatest = logits[i] > greatest ? logits[i] : greatest;
    int index = 0;
    while (index < count - 1 && logits[index] != greatest) index++;
    if (temperature > 0) {
        const double peak = greatest;
        for (int i = 0; i < count; i++) weights[i] = exponential((static_cast<double>(logits[i]) - peak) / temperature);
    }
    return index;
}

// Sums of 16 lanes, whose order does not depend on the vector width.
double sum_exponentials(const float* logits, int count, float* greatest) {
    const int whole = count / 16 * 16;
    float peaks[16];
    for (float& peak : peaks) peak = logits[0];
    for (int i = 0; i < whole; i += 16)
        for (int lane = 0; lane < 16; lane++)
            peaks[lane] = logits[i + lane] > peaks[lane] ? logits[i + lane] : peaks[lane];
    float peak = peaks[0];
    for (float lane : peaks) peak = lane > peak ? lane : peak;
    for (int i = whole; i < count; i++) peak = logits[i] > peak ? logits[i] : peak;
    double sums[16] = {}, total = 0;
    for (int i = 0; i < whole; i += 16)
        for (int lane = 0; lane < 16; lane++) sums[lane] += static_cast<double>(exponential(logits[i + lane] - peak));
    for (double sum : sums) total += sum;
    for (int i = whole; i < count; i++) total += static_cast<double>(exponential(logits[i] - peak));
    *greatest = peak;
    return total;
}

// -- The machine's limits. Several sums hide the latency of an operation. All of them stay in registers.

#if defined(__AVX512F__)
constexpr int kSums = 10, kIntSums = 10, kReadSums = 8;
#else
constexpr int kSums = 5, kIntSums = 4, kReadSums = 4;
#endif

template <int N>
float total(const Floats (&sums)[N]) {
    float row[16], all = 0;
    for (const Floats& sum : sums) {
        store(row, sum);
        for (float lane : row) all += lane;
    }
    return all;
}

float read(const std::byte* data, std::size_t bytes) {
    Floats sums[kReadSums];
    for (Floats& sum : sums) sum = splat(0);
    const Floats one = splat(1);
    for (std::size_t at = 0; at + 64 * kReadSums <= bytes; at += 64 * kReadSums)
        for (int v = 0; v < kReadSums; v++)
            sums[v] = fma(load(reinterpret_cast<const float*>(data + at + 64 * v)), one, sums[v]);
    return total(sums);
}

float multiply_add(std::size_t count) {
    Floats sums[kSums];
    for (Floats& sum : sums) sum = splat(0);
    const Floats half = splat(0.5f), one = splat(1);
    for (std::size_t i = 0; i < count; i += 16 * kSums)
        for (Floats& sum : sums) sum = fma(sum, half, one);
    return total(sums);
}

float multiply_add_int8(std::size_t count) {
    const std::int8_t ones[4] = {1, 1, 1, 1};
    const Ints x = splat_word(ones);
    Ints sums[kIntSums], weights = x;
    for (int v = 0; v < kIntSums; v++) sums[v] = zero();
    for (std::size_t i = 0; i < count; i += 64 * kIntSums)
        for (int v = 0; v < kIntSums; v++) {
            hide(weights);  // A product that did not change would be made once.
            sums[v] = dot_fours(sums[v], x, weights);
        }
    Floats floats[kIntSums];
    for (int v = 0; v < kIntSums; v++) floats[v] = to_floats(sums[v]);
    return total(floats);
}

constexpr Kernels table(const char* name) {
    return {name, product,    quantise, lstm,  gru,              gate,        glu,  gelu,         normalise, diagonal,
            add,  add_scaled, relu,     weigh, sum_exponentials, exponential, read, multiply_add, multiply_add_int8};
}

}  // namespace
}  // namespace wavewright
