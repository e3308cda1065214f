#include "dispatch.hpp"

#include "wavewright/engine.hpp"

namespace wavewright {
namespace {

template <class Visit>
void each(Visit visit) {
    for (const Kernels* set : {avx512vnni_kernels(), avx512_kernels(), avxvnni_kernels(), avx2_kernels(),
                               neon_kernels(), scalar_kernels()})
        if (set) visit(*set);
}

}  // namespace

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    each([&](const Kernels& set) { names.emplace_back(set.name); });
    return names;
}

const Kernels& kernels(const std::string& isa) {
    const Kernels* found = nullptr;
    each([&](const Kernels& set) {
        if (!found && (isa.empty() || isa == set.name)) found = &set;
    });
    if (!found) throw Error("isa: this machine cannot run '" + isa + "'; leave it out");
    return *found;
}

}  // namespace wavewright
