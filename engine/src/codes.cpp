#include "codes.hpp"

#include <algorithm>
#include <cmath>

namespace wavewright {
namespace {

// The packed image of every code at one place: (codes, rows).
Buffer<float> table_of(const Matrix& embedding, const Matrix& weight, int groups) {
    const Matrix images = transposed(embedding * transposed(weight));
    Buffer<float> table;
    for (int code = 0; code < images.columns; code++) {
        const Buffer<float> image = pack(columns_of(images, code, 1), groups);
        if (code == 0) table = Buffer<float>(image.size() * images.columns);
        std::copy_n(image.data(), image.size(), table.data() + image.size() * code);
    }
    return table;
}

// The centre of a code's bin in (-1, 1).
float centre(int code, int levels) { return (2.0f * code + 1.0f) / levels - 1.0f; }

}  // namespace

double mu_law(int code, int levels) {
    const double x = (2.0 * code + 1.0) / levels - 1.0, mu = levels - 1;
    return std::copysign(std::expm1(std::abs(x) * std::log1p(mu)) / mu, x);
}

CodeHistory::CodeHistory(int streams, int length, int samples)
    : streams_(streams),
      length_(length),
      codes_(std::size_t(streams) * length),
      laid_out_(std::size_t(length + samples - 1) * streams) {}

void CodeHistory::push(int stream, int code) {
    int* const codes = codes_.data() + stream * length_;
    std::copy(codes + 1, codes + length_, codes);
    codes[length_ - 1] = code;
}

void CodeHistory::lay_out(int stream, const std::int32_t* coming, int count) {
    int* to = laid_out_.data() + stream;
    for (int i = 0; i < length_; i++, to += streams_) *to = codes_[std::size_t(stream) * length_ + i];
    for (int i = 0; i + 1 < count; i++, to += streams_) *to = coming[i];
}

CodesView CodeHistory::view(int samples) const {
    if (samples == 1) return {codes_.data() + length_ - 1, streams_, 0, length_, 1};
    return {laid_out_.data() + std::ptrdiff_t(length_ - 1) * streams_, streams_, streams_, 1, streams_};
}

CodeImage::CodeImage(const BuildContext& context, const Matrix& weight, const CodeImageOptions& options)
    : runtime_(&context.runtime),
      bias_(pack(options.bias.empty() ? Matrix(weight.rows, 1) : options.bias, options.groups)) {
    blocks_ = static_cast<int>(bias_.size()) / kBlock;
    const auto& [rows, fine, amplitude] = options.embedding;
    const int levels = context.q_levels;
    if (rows.empty() || !fine.empty()) amplitudes_ = Buffer<float>(levels);
    if (rows.empty()) {
        reach_ = weight.columns;
        for (int code = 0; code < levels; code++) amplitudes_[code] = options.scale * centre(code, levels);
        for (int place = 0; place < reach_; place++)
            columns_.push_back(pack(columns_of(weight, place, 1), options.groups));
    } else {
        const int width = rows.columns;
        reach_ = weight.columns / width;
        for (int place = 0; place < reach_; place++) {
            const Matrix part = columns_of(weight, place * width, width);
            tables_.push_back(table_of(rows, part, options.groups));
            if (fine.empty()) continue;
            fine_tables_.push_back(table_of(fine, part, options.groups));
            columns_.push_back(pack(part * amplitude, options.groups));
        }
        if (fine.empty()) return;
        fine_levels_ = context.fine_levels;
        for (int code = 0; code < levels; code++) amplitudes_[code] = static_cast<float>(mu_law(code, levels));
    }
}

CodeImage::CodeImage(const BuildContext& context, const Matrix& weight, const std::vector<Matrix>& embeddings,
                     int groups)
    : runtime_(&context.runtime),
      reach_(static_cast<int>(embeddings.size())),
      bias_(pack(Matrix(weight.rows, 1), groups)) {
    blocks_ = static_cast<int>(bias_.size()) / kBlock;
    for (const Matrix& embedding : embeddings) tables_.push_back(table_of(embedding, weight, groups));
}

void CodeImage::apply_alone(int thread, const CodesView& codes, const VectorsView& y) const {
    const auto [first_vector, last_vector] = runtime_->team.streams(thread, y.count);
    for (int i = first_vector; i < last_vector; i++) std::copy_n(bias_.data(), bias_.size(), y[i]);
    add_alone(thread, codes, y);
}

void CodeImage::add_alone(int thread, const CodesView& codes, const VectorsView& y) const {
    const auto [first_vector, last_vector] = runtime_->team.streams(thread, y.count);
    for (int i = first_vector; i < last_vector; i++)
        for (int block = 0; block < blocks_; block++) add_block(codes, i, block, y[i] + block * kBlock);
}

void CodeImage::apply(int thread, const CodesView& codes, const VectorsView& x, const VectorsView& y) const {
    const auto [first, last] = runtime_->team.rows(thread, blocks_);
    const auto [first_vector, last_vector] = runtime_->team.streams(thread, y.count);
    for (int i = first_vector; i < last_vector; i++)
        std::copy_n(x[i % x.count] + first * kBlock, (last - first) * kBlock, y[i] + first * kBlock);
    add(thread, codes, y);
}

void CodeImage::add(int thread, const CodesView& codes, const VectorsView& y) const {
    const auto [first, last] = runtime_->team.rows(thread, blocks_);
    const auto [first_vector, last_vector] = runtime_->team.streams(thread, y.count);
    for (int i = first_vector; i < last_vector; i++)
        for (int block = first; block < last; block++) add_block(codes, i, block, y[i] + block * kBlock);
}

void CodeImage::add_block(const CodesView& codes, int vector, int block, float* out) const {
    const Kernels& kernels = runtime_->kernels;
    const int* const newest = codes.newest_of(vector);
    for (int place = 0; place < reach_; place++) {
        const int code = newest[(place + 1 - reach_) * codes.place];
        const auto add_row = [&](const Buffer<float>& table, int row) {
            kernels.add(out, table.data() + (std::size_t(row) * blocks_ + block) * kBlock, kBlock);
        };
        if (!tables_.empty()) add_row(tables_[place], code / fine_levels_);
        if (!fine_tables_.empty()) add_row(fine_tables_[place], code % fine_levels_);
        if (!columns_.empty())
            kernels.add_scaled(out, columns_[place].data() + block * kBlock, amplitudes_[code], kBlock);
    }
}

}  // namespace wavewright
