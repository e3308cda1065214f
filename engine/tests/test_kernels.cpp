// Tests of the products of matrices in every set of instructions, against the sums that their definition gives.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../src/dispatch.hpp"
#include "../src/matrix.hpp"
#include "../src/vectors.hpp"
#include "check.hpp"
#include "wavewright/engine.hpp"

using namespace wavewright;

namespace {

float rounded_to_bfloat16(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
    std::memcpy(&x, &bits, 4);
    return x;
}

float peak_of(const float* x, int count) {
    float peak = 0;
    for (int i = 0; i < count; i++) peak = std::max(peak, std::abs(x[i]));
    return peak;
}

// A row times a vector, added to `sum`.
float product_of(Precision precision, const std::vector<float>& row, const float* x, float sum) {
    const int columns = static_cast<int>(row.size());
    if (precision != Precision::int8) {
        for (int c = 0; c < columns; c++)
            sum = std::fma(precision == Precision::float32 ? row[c] : rounded_to_bfloat16(row[c]), x[c], sum);
        return sum;
    }
    const float row_peak = peak_of(row.data(), columns), peak = peak_of(x, columns);
    if (row_peak == 0 || peak == 0) return sum;
    long whole = 0;
    for (int c = 0; c < columns; c++)
        whole += std::lrint(row[c] / (row_peak / 127)) * static_cast<long>(std::nearbyint(x[c] * (127 / peak)));
    return std::fma(static_cast<float>(whole), row_peak / 127 * (peak / 127), sum);
}

// With extreme values, all weights and inputs have the greatest codes, so that every sum is as great as it can be.
void products(Precision precision, int columns, int streams, bool extreme) {
    constexpr int kRows = 70;
    std::mt19937 random(columns * 100 + streams);
    const auto number = [&] {
        const float x = static_cast<float>(random() % 2001) / 1000 - 1;
        return extreme ? (x < -0.9f ? -1.0f : 1.0f) : x;
    };
    Matrix matrix(kRows, columns);
    for (double& value : matrix.values) value = number();
    const PackedMatrix packed(matrix, precision);
    Vectors x(streams, columns), sums(streams, kRows);
    for (int s = 0; s < streams; s++)
        for (int c = 0; c < columns; c++) x[s][c] = s == 1 ? 0 : number();
    for (int s = 0; s < streams; s++)
        for (int row = 0; row < kRows; row++) sums[s][row] = static_cast<float>(row - s) / 64;
    for (const std::string& isa : instruction_sets()) {
        const Kernels& set = kernels(isa);
        Buffer<std::uint8_t> codes(std::size_t(streams) * padded(columns));
        std::fill_n(codes.data(), codes.size(), std::uint8_t{0x93});  // what a layer of more columns left
        Buffer<float> scales(streams);
        Buffer<std::int32_t> starts(streams);
        for (int s = 0; s < streams; s++)
            scales[s] =
                set.quantise(x[s], columns, codes.data() + std::ptrdiff_t(s) * padded(columns), starts.data() + s);
        Vectors out(streams, kRows);
        for (int s = 0; s < streams; s++) std::copy_n(sums[s], kRows, out[s]);
        for (int block = 0; block < packed.blocks; block++)
            set.product(packed, block, {x.data, codes.data(), scales.data(), starts.data(), x.stride},
                        streams, out.data + block * kBlock, out.stride);
        int wrong = 0;
        for (int row = 0; row < kRows; row++) {
            const auto first = matrix.values.begin() + std::ptrdiff_t(row) * columns;
            const std::vector<float> weights(first, first + columns);
            for (int s = 0; s < streams; s++)
                wrong += out[s][row] != product_of(precision, weights, x[s], sums[s][row]);
        }
        check(wrong == 0, isa + ": " + std::to_string(wrong) + " sums of precision " +
                              std::to_string(static_cast<int>(precision)) + " are wrong, of " +
                              std::to_string(columns) + " columns and " + std::to_string(streams) + " streams");
    }
}

// The sum of exponentials is near that of float64, and has the same bits in every set.
void sums_of_exponentials(int count) {
    std::mt19937 random(count);
    std::normal_distribution<float> draw(0, 8);
    std::vector<float> logits(count);
    for (float& logit : logits) logit = draw(random);
    const float peak = *std::max_element(logits.begin(), logits.end());
    double expected = 0;
    for (float logit : logits) expected += std::exp(static_cast<double>(logit) - static_cast<double>(peak));
    float greatest;
    const double first = kernels("scalar").sum_exponentials(logits.data(), count, &greatest);
    check(greatest == peak && std::abs(first / expected - 1) < 3e-7, "a sum of exponentials is wrong");
    for (const std::string& isa : instruction_sets())
        check(kernels(isa).sum_exponentials(logits.data(), count, &greatest) == first && greatest == peak,
              isa + ": another sum of " + std::to_string(count) + " exponentials");
}

}  // namespace

int main() {
    for (int count : {1, 2, 15, 16, 17, 40, 256, 1000}) sums_of_exponentials(count);
    for (Precision precision : {Precision::float32, Precision::bfloat16, Precision::int8})
        for (int columns : {16, 17, 18, 19, 64, 70, 131, 512})
            for (int streams : {1, 2, 3, 4, 5, 6, 7, 11, 13, 17})
                for (bool extreme : {false, true}) products(precision, columns, streams, extreme);
    return summary();
}
