// Functions of each element of vectors. Each thread computes its own rows and streams, as a dense layer of that size
// does.
#pragma once

#include "runtime.hpp"

namespace wavewright {

// y = max(x, 0)
void relu(const Runtime& runtime, int thread, const VectorsView& x, const VectorsView& y);
// y += x
void add(const Runtime& runtime, int thread, const VectorsView& x, const VectorsView& y);
// z = tanh(a) * sigmoid(b), where sums holds a and b packed in two groups.
void gate(const Runtime& runtime, int thread, const VectorsView& sums, const VectorsView& z);

}  // namespace wavewright
