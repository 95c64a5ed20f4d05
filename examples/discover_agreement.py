"""Discovery from a script: find, read, save and draw a circuit.

python examples/discover_agreement.py
"""

from agreement import Agreement

from acdc import discover


def main() -> None:
    result = discover("acdc-small", Agreement(), method="acdc", tau=0.05, n=40, seed=0)
    print(result)
    strongest = result.circuit.to_frame().query("kept").nlargest(5, "score")
    print(strongest[["edge", "score"]].to_string(index=False))
    print("\n".join(str(path) for path in result.files))


if __name__ == "__main__":
    main()
