"""The networks a job can train: mlp, convnet, resnet, gpt. Sizes that the job leaves open follow from the data."""
