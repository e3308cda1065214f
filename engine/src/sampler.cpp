#include "sampler.hpp"

#include <algorithm>
#include <numeric>

namespace wavewright {

int Sampler::draw(const float* logits, int levels, double uniform, double temperature, int top_k, double top_p) {
    const int likeliest = kernels_.weigh(logits, levels, temperature, weights_.data());
    if (temperature == 0) return likeliest;
    if (top_k < levels || top_p < 1) keep_likeliest(levels, top_k, top_p);
    double total = 0;
    for (int code = 0; code < levels; code++) total += weights_[code];
    const double threshold = uniform * total;
    double cumulative = 0;
    int last = 0;
    for (int code = 0; code < levels; code++) {
        cumulative += weights_[code];
        if (cumulative > threshold) return code;
        if (weights_[code] > 0) last = code;
    }
    return last;  // Rounding may lead past the end.
}

void Sampler::keep_likeliest(int levels, int top_k, double top_p) {
    const int kept = std::min(top_k, levels);
    const auto likelier = [this](int a, int b) {
        return weights_[a] != weights_[b] ? weights_[a] > weights_[b] : a < b;
    };
    int* const order = order_.data();
    std::iota(order, order + levels, 0);
    if (kept < levels) std::nth_element(order, order + kept, order + levels, likelier);
    for (int i = kept; i < levels; i++) weights_[order[i]] = 0;
    if (top_p >= 1) return;
    std::sort(order, order + kept, likelier);
    double all = 0;
    for (int i = 0; i < kept; i++) all += weights_[order[i]];
    double together = 0;
    for (int i = 0; i < kept; i++) {
        const double weight = weights_[order[i]];
        together += weight;
        if (!(together - weight < top_p * all)) weights_[order[i]] = 0;
    }
}

}  // namespace wavewright
