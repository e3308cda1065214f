// The engine: plays a trained model sample by sample, for one stream or many, on a few threads.
//
// After construction nothing on the generating path allocates, locks or calls the system. In float32 the codes of a
// stream are the same bits whatever the number of streams, threads and blocks, and whatever the vector instructions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wavewright/config.hpp"
#include "wavewright/precision.hpp"

namespace wavewright {

// A weight of the torch model under its name: float32 in C order. Only read while an engine is made.
struct Tensor {
    const float* data;
    std::vector<std::size_t> shape;
};
using Weights = std::map<std::string, Tensor, std::less<>>;

// How codes are drawn (sampling.py says what each does). A span holds one value for all samples or one for each.
struct Sampling {
    std::span<const double> temperature;  // 0: the likeliest code
    std::span<const int> top_k;           // q_levels: all
    std::span<const double> top_p;        // 1: all
};

class Engine {
public:
    struct Options {
        Precision precision = Precision::float32;
        int streams = 1;
        int threads = 1;
        std::string isa;  // one of instruction_sets(); empty for the best
    };

    // Throws Error for a weight that is missing or of another shape, or an option out of range.
    Engine(const Config& config, const Weights& weights, const Options& options);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    int streams() const;
    int q_levels() const;
    const char* isa() const;
    std::size_t weight_bytes() const;  // that one sample of one stream reads, on average, in all

    // Back to the beginning, when streams have heard nothing but silence; with Philox keys (streams, 2).
    void reset(std::span<const std::uint64_t> keys);
    // Hear codes (streams, n).
    void prime(std::span<const std::int32_t> codes);
    // Hear codes (streams, n); logits (streams, n, q_levels) are those from which each of them would be drawn.
    void logits(std::span<const std::int32_t> codes, std::span<float> logits);
    // Draw new codes (streams, n).
    void generate(const Sampling& sampling, std::span<std::int32_t> codes);

    // All that the streams remember, as bytes.
    std::size_t state_size() const;
    void save(std::span<std::byte> state) const;
    void restore(std::span<const std::byte> state);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Those that this machine can run, the best first; "scalar" is always there.
std::vector<std::string> instruction_sets();

// The code that sampling.py would draw, from logits and one uniform number in [0, 1).
int draw(std::span<const float> logits, double uniform, double temperature, int top_k, double top_p);

// What this machine can do at best with so many threads: bytes a second that it reads over and over from `bytes` of
// memory, and float32 multiply-adds a second.
struct Limits {
    double bytes_per_second;
    double multiply_adds_per_second;
};
Limits measure_limits(std::size_t bytes, int threads);

}  // namespace wavewright
