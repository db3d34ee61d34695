import Tensors
import TestSupport
import Testing
import Transformer

@Suite struct MemoryBudgetTests {
  struct Size: Sendable, CustomTestStringConvertible {
    let total: Int
    let needs: MemoryBudget.LayerNeeds
    var testDescription: String { "\(total) for \(needs)" }
  }

  /// Needs from bytes to terabytes, each with random budgets from 1 byte to 2^62 and with budgets around its minimum.
  static let sizes: [Size] = {
    var random = SplitMix(seed: 5)
    func bytes() -> Int { 1 << random.below(42) + random.below(1 << 10) }
    return (0..<60).flatMap { _ -> [Size] in
      let needs = MemoryBudget.LayerNeeds(program: bytes(), fixed: bytes(), window: bytes(), weights: bytes())
      let minimum = MemoryBudget.minimum(data: needs.data, beside: needs.program)
      return ([1, minimum - 1, minimum, minimum + 1, 2 * minimum, 1 << 62] + (0..<6).map { _ in bytes() })
        .map { Size(total: $0, needs: needs) }
    }
  }()

  @Test func sharesOfLayersAddUpToTheBudget() {
    for size in Self.sizes {
      for (finals, isSideBySide) in [(0, false), (1 << 40, false), (1 << 20, true), (1 << 40, true)] {
        let budget = MemoryBudget(size.total)
        let minimum = MemoryBudget.minimum(data: size.needs.data, beside: size.needs.program)
        guard let shares = budget.layers(size.needs, finals: finals, isSideBySide: isSideBySide) else {
          #expect(size.total < minimum, "\(size)")
          continue
        }
        #expect(size.total >= minimum, "\(size)")
        #expect(shares.slab >= size.needs.window)
        let side = MemoryBudget.side(shares.side)
        #expect(side.encoded + side.compared + 2 * side.logits <= shares.side)
        // A slab has at least a window and at most its share.
        for slab in [size.needs.window, shares.slab] {
          for weights in [shares.weights, shares.spillingWeights(beside: slab)] {
            let hidden = shares.activations(beside: slab, weights: weights)
            #expect(weights >= size.needs.weights && hidden >= 0)
            let sum =
              size.needs.program + shares.finals + shares.side + size.needs.fixed + slab
              + MemoryBudget.weightBuffers * weights + hidden
            // Weight buffers that leave no memory for hidden states are not used, because these are spilled.
            let isUsed = weights != shares.weights || slab + MemoryBudget.weightBuffers * weights <= shares.available
            #expect(sum <= size.total || !isUsed, "\(sum) of \(size)")
          }
        }
      }
    }
  }

  @Test func sharesOfScoringAddUpToTheBudget() throws {
    for size in Self.sizes {
      let budget = MemoryBudget(size.total)
      let (program, work) = (size.needs.program, size.needs.fixed)
      do {
        let logits = try budget.logits(beside: program, work: work, minimum: 2 << 20)
        #expect(logits >= 2 << 20)
        #expect(program + budget.data(beside: program) / 4 + work + 2 * logits <= size.total)
      } catch ForwardError.budgetTooSmall(let bytes, let minimum) {
        #expect(bytes == size.total && minimum > bytes)
      }
    }
  }

  /// The plan of a real model, at different budgets and at the minimum that the error names.
  @Test(arguments: ["llama", "qwen3moe", "deepseek2-v3"]) func plansStayWithinTheBudget(name: String) throws {
    let model = try Golden(name).model
    try withFixedThreads {
      for memory in [1, 40 << 20, 64 << 20, 100 << 20, 1 << 30, 1 << 50] {
        let pass = try ForwardPass(source: model, options: ForwardOptions(memory: memory))
        for (windows, scored) in [(1, 0), (3000, 1), (3000, 23)] {
          do {
            #expect(try pass.plan(windows: windows, length: 24, scored: scored).residentBytes <= memory)
          } catch ForwardError.budgetTooSmall(_, let minimum) {
            #expect(minimum > memory)
            let pass = try ForwardPass(source: model, options: ForwardOptions(memory: minimum))
            #expect(try pass.plan(windows: windows, length: 24, scored: scored).residentBytes <= minimum)
          }
        }
      }
    }
  }
}
