#include "codes.hpp"

#include <algorithm>

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

}  // namespace

void CodeHistory::push(int stream, int code) {
    int* const codes = codes_.data() + stream * length_;
    std::copy(codes + 1, codes + length_, codes);
    codes[length_ - 1] = code;
}

CodeImage::CodeImage(const BuildContext& context, const Matrix& weight, const CodeImageOptions& options)
    : runtime_(&context.runtime),
      bias_(pack(options.bias.empty() ? Matrix(weight.rows, 1) : options.bias, options.groups)) {
    blocks_ = static_cast<int>(bias_.size()) / kBlock;
    const int levels = context.q_levels;
    if (options.embedding.empty()) {
        reach_ = weight.columns;
        amplitudes_ = Buffer<float>(levels);
        for (int code = 0; code < levels; code++)
            amplitudes_[code] = options.scale * ((2.0f * code + 1.0f) / levels - 1.0f);
        for (int place = 0; place < reach_; place++)
            columns_.push_back(pack(columns_of(weight, place, 1), options.groups));
    } else {
        const int width = options.embedding.columns;
        reach_ = weight.columns / width;
        for (int place = 0; place < reach_; place++)
            tables_.push_back(table_of(options.embedding, columns_of(weight, place * width, width), options.groups));
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

void CodeImage::apply_alone(int thread, const CodeHistory& codes, const VectorsView& y) const {
    const auto [first_stream, last_stream] = runtime_->team.streams(thread, y.count);
    for (int s = first_stream; s < last_stream; s++) std::copy_n(bias_.data(), bias_.size(), y[s]);
    add_alone(thread, codes, y);
}

void CodeImage::add_alone(int thread, const CodeHistory& codes, const VectorsView& y) const {
    const auto [first_stream, last_stream] = runtime_->team.streams(thread, y.count);
    for (int s = first_stream; s < last_stream; s++)
        for (int block = 0; block < blocks_; block++) add_block(codes, s, block, y[s] + block * kBlock);
}

void CodeImage::apply(int thread, const CodeHistory& codes, const VectorsView& x, const VectorsView& y) const {
    const auto [first, last] = runtime_->team.rows(thread, blocks_);
    const auto [first_stream, last_stream] = runtime_->team.streams(thread, y.count);
    for (int s = first_stream; s < last_stream; s++)
        std::copy_n(x[s] + first * kBlock, (last - first) * kBlock, y[s] + first * kBlock);
    add(thread, codes, y);
}

void CodeImage::add(int thread, const CodeHistory& codes, const VectorsView& y) const {
    const auto [first, last] = runtime_->team.rows(thread, blocks_);
    const auto [first_stream, last_stream] = runtime_->team.streams(thread, y.count);
    for (int s = first_stream; s < last_stream; s++)
        for (int block = first; block < last; block++) add_block(codes, s, block, y[s] + block * kBlock);
}

void CodeImage::add_block(const CodeHistory& codes, int stream, int block, float* out) const {
    const Kernels& kernels = runtime_->kernels;
    const int* const last = codes.last(stream, reach_);
    for (int place = 0; place < reach_; place++) {
        const int code = last[place];
        if (tables_.empty())
            kernels.add_scaled(out, columns_[place].data() + block * kBlock, amplitudes_[code], kBlock);
        else
            kernels.add(out, tables_[place].data() + (std::size_t(code) * blocks_ + block) * kBlock, kBlock);
    }
}

}  // namespace wavewright
