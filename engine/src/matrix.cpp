#include "matrix.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace wavewright {
namespace {

constexpr int kNarrow = 16;  // columns

std::uint16_t to_bfloat16(float x) {  // rounds to nearest, ties to even
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// The row of the matrix that `lane` of `block` holds, or -1 for padding.
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

Matrix identity(int size) {
    Matrix one(size, size);
    for (int i = 0; i < size; i++) one(i, i) = 1;
    return one;
}

Matrix operator*(const Matrix& a, const Matrix& b) {
    Matrix product(a.rows, b.columns);
    for (int i = 0; i < a.rows; i++)
        for (int k = 0; k < a.columns; k++)
            for (int j = 0; j < b.columns; j++) product(i, j) += a(i, k) * b(k, j);
    return product;
}

Matrix operator+(Matrix a, const Matrix& b) {
    for (std::size_t i = 0; i < a.values.size(); i++) a.values[i] += b.values[i];
    return a;
}

Matrix transposed(const Matrix& a) {
    Matrix turned(a.columns, a.rows);
    for (int i = 0; i < a.rows; i++)
        for (int j = 0; j < a.columns; j++) turned(j, i) = a(i, j);
    return turned;
}

Matrix rows_of(const Matrix& a, int first, int count) {
    Matrix part(count, a.columns);
    std::copy_n(a.values.begin() + std::ptrdiff_t(first) * a.columns, part.values.size(), part.values.begin());
    return part;
}

Matrix columns_of(const Matrix& a, int first, int count) {
    Matrix part(a.rows, count);
    for (int i = 0; i < a.rows; i++)
        for (int j = 0; j < count; j++) part(i, j) = a(i, first + j);
    return part;
}

Matrix vstack(const Matrix& top, const Matrix& bottom) {
    Matrix whole = top;
    whole.rows += bottom.rows;
    whole.values.insert(whole.values.end(), bottom.values.begin(), bottom.values.end());
    return whole;
}

PackedMatrix::PackedMatrix(const Matrix& matrix, Precision wanted, int groups) {
    precision = matrix.columns < kNarrow ? Precision::float32 : wanted;
    blocks = blocks_for(matrix.rows, groups);
    columns = matrix.columns;
    multiply_adds_ = matrix.values.size();
    const int together = precision == Precision::float32 ? 1 : precision == Precision::bfloat16 ? 2 : 4;  // columns
    const std::size_t row_bytes = std::size_t(columns + together - 1) / together * 4;
    block_bytes = kBlock * row_bytes;
    storage_ = Buffer<std::byte>(blocks * block_bytes);
    if (precision == Precision::int8) {
        row_scales_ = Buffer<float>(std::size_t(blocks) * kBlock);
        row_starts_ = Buffer<std::int32_t>(std::size_t(blocks) * kBlock);
    }
    for (int block = 0; block < blocks; block++)
        for (int lane = 0; lane < kBlock; lane++) {
            const int row = source_row(matrix.rows, groups, block, lane);
            if (row < 0) continue;
            std::byte* start = storage_.data() + block * block_bytes;
            float peak = 0;
            for (int c = 0; c < columns; c++) peak = std::max(peak, std::abs(static_cast<float>(matrix(row, c))));
            const float scale = peak / 127.0f;
            const std::size_t place = std::size_t(block) * kBlock + lane;
            if (precision == Precision::int8) row_scales_[place] = scale;
            for (int c = 0; c < columns; c++) {
                const auto value = static_cast<float>(matrix(row, c));
                const std::size_t at = (std::size_t(c / together) * kBlock + lane) * together + c % together;
                if (precision == Precision::float32) {
                    reinterpret_cast<float*>(start)[at] = value;
                } else if (precision == Precision::bfloat16) {
                    reinterpret_cast<std::uint16_t*>(start)[at] = to_bfloat16(value);
                } else if (scale > 0) {
                    const long rounded = std::lrint(std::clamp(value / scale, -127.0f, 127.0f));
                    reinterpret_cast<std::int8_t*>(start)[at] = static_cast<std::int8_t>(rounded);
                    row_starts_[place] -= kUnsignedMiddle * static_cast<std::int32_t>(rounded);
                }
            }
        }
    data = storage_.data();
    scales = row_scales_.data();
    starts = row_starts_.data();
}

Buffer<float> pack(const Matrix& column, int groups) {
    const int blocks = blocks_for(column.rows, groups);
    Buffer<float> packed(std::size_t(blocks) * kBlock);
    for (int block = 0; block < blocks; block++)
        for (int lane = 0; lane < kBlock; lane++) {
            const int row = source_row(column.rows, groups, block, lane);
            if (row >= 0) packed[std::size_t(block) * kBlock + lane] = static_cast<float>(column(row, 0));
        }
    return packed;
}

}  // namespace wavewright
