import Fit
import Foundation
import GGUF
import Tensors
import Testing

@Suite struct PriorTests {
  private func tensor(_ name: String, _ dimensions: [Int]) -> TensorInfo {
    TensorInfo(name: name, shape: Shape(dimensions)!, type: .bf16)
  }

  /// A dense model of `layers` layers with an untied head.
  private func dense(_ layers: Int, tied: Bool = false) -> [TensorInfo] {
    var tensors = [tensor("token_embd.weight", [1024, 8192])]
    if !tied { tensors.append(tensor("output.weight", [1024, 8192])) }
    for layer in 0..<layers {
      tensors += [
        tensor("blk.\(layer).attn_q.weight", [1024, 1024]), tensor("blk.\(layer).attn_k.weight", [1024, 256]),
        tensor("blk.\(layer).ffn_up.weight", [1024, 4096]), tensor("blk.\(layer).ffn_down.weight", [4096, 1024]),
      ]
    }
    return tensors
  }

  @Test func worthFollowsClassAndDepth() throws {
    let prior = Prior(dense(32))
    let entry = try #require(Prior.classes["ffn_down"])
    for (layer, part) in [(0, 0), (3, 0), (4, 1), (18, 4), (30, 7)] {
      let worth = prior.worth(of: tensor("blk.\(layer).ffn_down.weight", [4096, 1024]))
      #expect(abs(worth.log - (entry.log + entry.profile[part])) < 1e-12, "layer \(layer)")
      #expect(worth.isMeasuredClass)
    }
    #expect(prior.worth(of: tensor("blk.31.ffn_down.weight", [4096, 1024])).log == entry.log + entry.last)
  }

  /// A layer of a shallow model covers several eighths, and its last layer is only in part like that of a deep one.
  @Test func shallowModelsAverageTheProfile() throws {
    let prior = Prior(dense(4))
    let entry = try #require(Prior.classes["ffn_up"])
    func log(_ layer: Int) -> Double { prior.worth(of: tensor("blk.\(layer).ffn_up.weight", [1024, 4096])).log }
    #expect(abs(log(1) - (entry.log + (entry.profile[2] + entry.profile[3]) / 2)) < 1e-12)
    let mean = (entry.profile[6] + entry.profile[7]) / 2
    #expect(abs(log(3) - (entry.log + mean + (entry.last - mean) / 6)) < 1e-12)
  }

  /// A block of multi-token prediction has the worth of the last layer; the depth of the others does not change.
  @Test func predictionLayersFollowTheLastLayer() {
    let tensors = dense(17)
    let prior = Prior(tensors, predictionLayers: 1)
    func worth(_ layer: Int) -> Double { prior.worth(of: tensor("blk.\(layer).ffn_up.weight", [1024, 4096])).log }
    #expect(worth(16) == worth(15))
    #expect(worth(3) == Prior(dense(16)).worth(of: tensor("blk.3.ffn_up.weight", [1024, 4096])).log)
  }

  @Test func tiedHeadsHaveTheirOwnClass() throws {
    let embedding = tensor("token_embd.weight", [1024, 8192])
    let layers = Prior.logitLayers
    #expect(Prior(dense(layers)).worth(of: embedding).log == Prior.classes["token_embd"]?.log)
    #expect(Prior(dense(layers, tied: true)).worth(of: embedding).log == Prior.classes["token_embd.tied"]?.log)
  }

  /// Beside a matrix of one layer, a head is worth less in a shallow model; an embedding that is not the head is not.
  @Test func headsAreWorthMoreInDeepModels() {
    let (embedding, output) = (tensor("token_embd.weight", [1024, 8192]), tensor("output.weight", [1024, 8192]))
    func log(_ tensor: TensorInfo, _ layers: Int, tied: Bool = false) -> Double {
      Prior(dense(layers, tied: tied)).worth(of: tensor).log
    }
    let step = Prior.logitDepth * Foundation.log(8)
    #expect(step > 0 && abs(log(output, 32) - log(output, 4) - step) < 1e-12)
    #expect(abs(log(embedding, 32, tied: true) - log(embedding, 4, tied: true) - step) < 1e-12)
    #expect(log(embedding, 32) == log(embedding, 4))
  }

  /// Fused matrices contain several classes, whose losses add up; attn_qkv of a delta net is a separate class.
  @Test func fusedMatricesAddTheirParts() throws {
    func log(_ name: String) throws -> Double {
      let entry = try #require(Prior.classes[name])
      return entry.log + entry.profile[0]
    }
    // In 16 layers, the first is within the first eighth.
    let qkv = tensor("blk.0.attn_qkv.weight", [1024, 3072])
    let ordinary = Prior(dense(16)).worth(of: qkv)
    let (q, k, v) = (try log("attn_q"), try log("attn_k"), try log("attn_v"))
    let sum = exp(q) + exp(k) + exp(v)
    #expect(abs(ordinary.value - sum) < 1e-9 * sum)
    let recurrent = Prior(dense(16) + [tensor("blk.0.ssm_out.weight", [1024, 1024])]).worth(of: qkv)
    let expected = try log("attn_qkv")
    #expect(abs(recurrent.log - expected) < 1e-12)
  }

  @Test func unknownClassesGetTheMedianOfTheirSize() {
    let prior = Prior(dense(16))
    let small = prior.worth(of: tensor("blk.3.mystery.weight", [1024, 64]))
    #expect(!small.isMeasuredClass && small.log == Prior.groups[.small]?.log)
    let large = prior.worth(of: tensor("blk.3.mystery.weight", [1024, 4096]))
    #expect(!large.isMeasuredClass && large.log == Prior.groups[.ffn]?.log)
    let attention = prior.worth(of: tensor("blk.3.attn_mystery.weight", [1024, 1024]))
    #expect(attention.log == Prior.groups[.attention]?.log)
    let widest = Prior.classes.values.map(\.spread).max() ?? 0
    #expect(small.spread >= widest)
  }

  /// The generated table: eight entries per profile, finite numbers, and the order that every model of the data shows.
  @Test func theTableIsWhole() throws {
    #expect(Prior.classes.count > 25)
    for (name, entry) in Prior.classes {
      #expect(entry.profile.count == 8 && entry.models > 0 && entry.spread > 0, "\(name)")
      let numbers = [entry.log, entry.spread, entry.last] + entry.profile
      #expect(numbers.allSatisfy { $0.isFinite }, "\(name)")
    }
    let output = try #require(Prior.classes["output"])
    let up = try #require(Prior.classes["ffn_up"])
    #expect(output.log > up.log + 1)
    // A shared expert's three matrices were measured together, and have a third each.
    let shared = try #require(Prior.classes["ffn_up_shexp"])
    #expect(shared.log < up.log - 0.7)
  }
}
