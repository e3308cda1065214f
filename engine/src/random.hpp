// The numbers of numpy's Generator(Philox(key)).random(). (Salmon et al., SC 2011, Philox 4x64 with 10 rounds.)
#pragma once

#include <cstdint>

namespace wavewright {

struct Philox {
    std::uint64_t key[2] = {};
    std::uint64_t drawn = 0;  // how many numbers were drawn
    double ahead[4] = {};     // the block of the next numbers

    double next() {
        const std::uint64_t lane = drawn % 4;
        if (lane == 0) fill(drawn / 4 + 1);
        drawn++;
        return ahead[lane];
    }

private:
    void fill(std::uint64_t counter) {
        std::uint64_t x[4] = {counter, 0, 0, 0}, k[2] = {key[0], key[1]};
        for (int round = 0; round < 10; round++) {
            const unsigned __int128 a = static_cast<unsigned __int128>(0xD2E7470EE14C6C93u) * x[0];
            const unsigned __int128 b = static_cast<unsigned __int128>(0xCA5A826395121157u) * x[2];
            const std::uint64_t next[4] = {
                static_cast<std::uint64_t>(b >> 64) ^ x[1] ^ k[0], static_cast<std::uint64_t>(b),
                static_cast<std::uint64_t>(a >> 64) ^ x[3] ^ k[1], static_cast<std::uint64_t>(a)};
            for (int i = 0; i < 4; i++) x[i] = next[i];
            k[0] += 0x9E3779B97F4A7C15u;
            k[1] += 0xBB67AE8584CAA73Bu;
        }
        for (int i = 0; i < 4; i++) ahead[i] = static_cast<double>(x[i] >> 11) * 0x1p-53;
    }
};

}  // namespace wavewright
