"""How toxic a text is: a cheap model over everything, Detoxify over what that finds suspicious.

``cheap`` scores every English document in a fraction of a millisecond; ``scorer`` runs a Detoxify checkpoint
(``checkpoint``) over windows of those documents that survive everything else and lie above a threshold, which
``calibrate`` takes from a wanted recall on data. ``bias`` measures what a scorer does to texts that name people.
Scores are those of models and not of people: they know the words of their training data, and mistake dialects and
names of groups for insults (Dixon et al. 2018, Sap et al. 2019).
"""
