#include "network.hpp"

#include <algorithm>

namespace wavewright {

Network::Network(const Setting& setting, int past, int vectors, int width)
    : kernels_(setting.kernels),
      team_(setting.team),
      streams_(setting.streams),
      q_levels_(setting.q_levels),
      past_(past),
      logits_(std::size_t(setting.streams) * padded(setting.q_levels)),
      heard_(std::size_t(setting.streams) * past) {
    for (int thread = 0; thread < team_.size(); thread++) scratch_.emplace_back(vectors, width);
    remember(heard_);
}

void Network::hear(int stream, int code) {
    int* codes = heard_.data() + stream * past_;
    std::copy(codes + 1, codes + past_, codes);
    codes[past_ - 1] = code;
}

CodeImage::CodeImage(const Setting& setting, const Dense& weight, int reach, const Dense* embedding, float scale,
                     int groups)
    : reach_(reach) {
    if (!embedding) {
        amplitudes_ = Buffer<float>(setting.q_levels);
        for (int code = 0; code < setting.q_levels; code++)
            amplitudes_[code] = scale * ((2.0f * code + 1.0f) / setting.q_levels - 1.0f);
        for (int place = 0; place < reach; place++) columns_.push_back(pack(columns_of(weight, place, 1), groups));
        blocks_ = static_cast<int>(columns_[0].size()) / kBlock;
        return;
    }
    for (int place = 0; place < reach; place++) {
        const Dense part = columns_of(weight, place * embedding->columns, embedding->columns);
        Dense turned(part.columns, part.rows);
        for (int i = 0; i < part.rows; i++)
            for (int j = 0; j < part.columns; j++) turned(j, i) = part(i, j);
        const Dense images = *embedding * turned;  // (codes, rows)
        Dense image(part.rows, 1);
        Buffer<float> table;
        for (int code = 0; code < setting.q_levels; code++) {
            std::copy_n(images.values.begin() + std::ptrdiff_t(code) * images.columns, images.columns,
                        image.values.begin());
            const Buffer<float> packed = pack(image, groups);
            if (code == 0) {
                blocks_ = static_cast<int>(packed.size()) / kBlock;
                table = Buffer<float>(packed.size() * setting.q_levels);
            }
            std::copy_n(packed.data(), packed.size(), table.data() + packed.size() * code);
        }
        tables_.push_back(std::move(table));
    }
}

void CodeImage::add(const Kernels& kernels, const int* codes, int block, float* out) const {
    for (int place = 0; place < reach_; place++) {
        const int code = codes[place];
        if (tables_.empty())
            kernels.add_scaled(out, columns_[place].data() + block * kBlock, amplitudes_[code], kBlock);
        else
            kernels.add(out, tables_[place].data() + (std::size_t(code) * blocks_ + block) * kBlock, kBlock);
    }
}

void Affine::apply(const Kernels& kernels, int block, const Operand& x, int streams, float* out,
                   std::ptrdiff_t to) const {
    out += block * kBlock;
    for (int s = 0; s < streams; s++) std::copy_n(bias.data() + block * kBlock, kBlock, out + s * to);
    kernels.product(matrix, block, x, streams, out, to);
}

}  // namespace wavewright
