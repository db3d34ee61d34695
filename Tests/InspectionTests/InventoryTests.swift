import GGUF
import Inspection
import Tensors
import Testing

@Suite struct InventoryTests {
  private func tensor(_ name: String, _ dimensions: [Int], _ type: GGMLType) -> TensorInfo {
    TensorInfo(name: name, shape: Shape(dimensions)!, type: type)
  }

  @Test func sumsByClassAndType() throws {
    let inventory = Inventory([
      tensor("token_embd.weight", [256, 10], .q6_K), tensor("blk.0.ffn_down.weight", [512, 4], .q4_K),
      tensor("blk.1.ffn_down.weight", [512, 4], .q6_K), tensor("blk.2.ffn_down.weight", [512, 4], .q4_K),
      tensor("blk.2.ffn_norm.weight", [256], .f32),
    ])
    #expect(inventory.classes.map(\.name) == ["token_embd", "ffn_down", "ffn_norm"])
    let down = inventory.classes[1]
    #expect(down.tensors == 3 && down.weights == 3 * 2048 && down.isUniform)
    // 8 blocks of 144 bytes each, and 8 of 210.
    #expect(down.bytes == 2 * 8 * 144 + 8 * 210)
    #expect(down.types.map(\.type) == [.q4_K, .q6_K] && down.types.map(\.tensors) == [2, 1])
    #expect(inventory.types.map(\.type) == [.q6_K, .q4_K, .f32])
    #expect(inventory.types.map(\.bytes) == [10 * 210 + 8 * 210, 2304, 1024])
    #expect(inventory.weights == 2560 + 6144 + 256)
    #expect(inventory.bytes == 7108)
  }
}
