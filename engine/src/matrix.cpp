#include "matrix.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace wavewright {
namespace {

constexpr int kNarrow = 16;

std::uint16_t to_bfloat16(float x) {  // to nearest, ties to even
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

std::string text(const std::vector<std::size_t>& shape) {
    std::string all;
    for (std::size_t size : shape) all += (all.empty() ? "" : ", ") + std::to_string(size);
    return "(" + all + ")";
}

const float* find(const Weights& weights, const std::string& name, const std::vector<std::size_t>& shape) {
    const auto found = weights.find(name);
    if (found == weights.end()) throw Error(name + ": missing from the weights");
    if (found->second.shape != shape)
        throw Error(name + ": shape " + text(found->second.shape) + ", expected " + text(shape));
    return found->second.data;
}

// The row of the dense matrix that lies in `lane` of `block`, or -1 for padding.
int source_row(int rows, int groups, int block, int lane) {
    const int units = rows / groups, wide = kBlock / groups;
    const int unit = block * wide + lane % wide;
    return unit < units ? lane / wide * units + unit : -1;
}

int blocks_for(int rows, int groups) {
    const int wide = kBlock / groups;
    return (rows / groups + wide - 1) / wide;
}

}  // namespace

Dense identity(int size) {
    Dense one(size, size);
    for (int i = 0; i < size; i++) one(i, i) = 1;
    return one;
}

Dense operator*(const Dense& a, const Dense& b) {
    Dense product(a.rows, b.columns);
    for (int i = 0; i < a.rows; i++)
        for (int k = 0; k < a.columns; k++)
            for (int j = 0; j < b.columns; j++) product(i, j) += a(i, k) * b(k, j);
    return product;
}

Dense operator+(Dense a, const Dense& b) {
    for (std::size_t i = 0; i < a.values.size(); i++) a.values[i] += b.values[i];
    return a;
}

Dense rows_of(const Dense& a, int first, int count) {
    Dense part(count, a.columns);
    std::copy_n(a.values.begin() + std::ptrdiff_t(first) * a.columns, part.values.size(), part.values.begin());
    return part;
}

Dense columns_of(const Dense& a, int first, int count) {
    Dense part(a.rows, count);
    for (int i = 0; i < a.rows; i++)
        for (int j = 0; j < count; j++) part(i, j) = a(i, first + j);
    return part;
}

Dense below(const Dense& a, const Dense& b) {
    Dense whole = a;
    whole.rows += b.rows;
    whole.values.insert(whole.values.end(), b.values.begin(), b.values.end());
    return whole;
}

Dense take(const Weights& weights, const std::string& name, int rows, int columns) {
    Dense dense(rows, columns);
    const float* data = find(weights, name, {std::size_t(rows), std::size_t(columns)});
    std::copy_n(data, dense.values.size(), dense.values.begin());
    return dense;
}

Dense take(const Weights& weights, const std::string& name, int rows) {
    Dense dense(rows, 1);
    std::copy_n(find(weights, name, {std::size_t(rows)}), rows, dense.values.begin());
    return dense;
}

Dense take_tap(const Weights& weights, const std::string& name, int rows, int columns, int taps, int tap) {
    const float* data = find(weights, name, {std::size_t(rows), std::size_t(columns), std::size_t(taps)});
    Dense dense(rows, columns);
    for (std::size_t i = 0; i < dense.values.size(); i++) dense.values[i] = data[i * taps + tap];
    return dense;
}

Matrix::Matrix(const Dense& dense, Precision wanted, int groups) {
    precision = dense.columns < kNarrow ? Precision::float32 : wanted;
    blocks = blocks_for(dense.rows, groups);
    columns = dense.columns;
    const int even = (columns + 1) / 2 * 2;
    const std::size_t size = precision == Precision::float32 ? 4 : precision == Precision::bfloat16 ? 2 : 1;
    block_bytes = std::size_t(kBlock) * (precision == Precision::float32 ? columns : even) * size;
    storage_ = Buffer<std::byte>(blocks * block_bytes);
    if (precision == Precision::int8) row_scales_ = Buffer<float>(std::size_t(blocks) * kBlock);
    for (int block = 0; block < blocks; block++)
        for (int lane = 0; lane < kBlock; lane++) {
            const int row = source_row(dense.rows, groups, block, lane);
            if (row < 0) continue;
            std::byte* start = storage_.data() + block * block_bytes;
            float peak = 0;
            for (int c = 0; c < columns; c++) peak = std::max(peak, std::abs(static_cast<float>(dense(row, c))));
            const float scale = peak / 127.0f;
            if (precision == Precision::int8) row_scales_[std::size_t(block) * kBlock + lane] = scale;
            for (int c = 0; c < columns; c++) {
                const auto value = static_cast<float>(dense(row, c));
                const std::size_t paired = (std::size_t(c / 2) * kBlock + lane) * 2 + c % 2;
                if (precision == Precision::float32)
                    reinterpret_cast<float*>(start)[std::size_t(c) * kBlock + lane] = value;
                else if (precision == Precision::bfloat16)
                    reinterpret_cast<std::uint16_t*>(start)[paired] = to_bfloat16(value);
                else if (scale > 0)
                    reinterpret_cast<std::int8_t*>(start)[paired] =
                        static_cast<std::int8_t>(std::lrint(std::clamp(value / scale, -127.0f, 127.0f)));
            }
        }
    data = storage_.data();
    scales = row_scales_.data();
}

Buffer<float> pack(const Dense& column, int groups) {
    const int blocks = blocks_for(column.rows, groups);
    Buffer<float> packed(std::size_t(blocks) * kBlock);
    for (int block = 0; block < blocks; block++)
        for (int lane = 0; lane < kBlock; lane++) {
            const int row = source_row(column.rows, groups, block, lane);
            if (row >= 0) packed[std::size_t(block) * kBlock + lane] = static_cast<float>(column(row, 0));
        }
    return packed;
}

Operand operand(const Kernels& kernels, const MatrixView& matrix, const float* x, std::ptrdiff_t stride, int streams,
                Scratch& scratch) {
    if (matrix.precision != Precision::int8) return {x, nullptr, nullptr, stride};
    const int even = (matrix.columns + 1) / 2 * 2;
    // Sums of 127 * limit * columns must stay below 2^31.
    const float limit = std::min(32767.0f, std::floor(2147483647.0f / (127.0f * static_cast<float>(even)) - 1.0f));
    const std::ptrdiff_t apart = padded(even);
    for (int s = 0; s < streams; s++)
        scratch.scales[s] = kernels.quantise(x + s * stride, even, limit, scratch.codes.data() + s * apart);
    return {nullptr, scratch.codes.data(), scratch.scales.data(), apart};
}

}  // namespace wavewright
