import time, tiny
def test_a(sounds, kitchen, trained, trained_epic):
    for p in (trained, trained_epic): 
        print(*(f.name for f in p.iterdir())); print((p/"metrics.jsonl").read_text())
