"""A classifier of quality: which documents look like texts that somebody has chosen as good.

A linear fastText model (Joulin et al. 2017, https://arxiv.org/abs/1607.01759) that tells *positive* from *negative*
texts, as GPT-3 did with curated corpora against Common Crawl (Brown et al. 2020, https://arxiv.org/abs/2005.14165,
appendix A), FineWeb-Edu with pages that a language model found educational (Penedo et al. 2024,
https://arxiv.org/abs/2406.17557), and DCLM with instructions and answers against a crawl, of which it kept the best
tenth: of all that was compared there, this helped most (Li et al. 2024, https://arxiv.org/abs/2406.11794).

What it finds is likeness to the positive texts, which is not quality. Such a classifier prefers text as wealthier,
urban, better schooled people write it, and its score has little to do with whether a text is true (Gururangan et al.
2022, "Whose language counts as high quality?", https://arxiv.org/abs/2201.10474); filters of this kind remove more of
what is written in African American English and about minorities (Dodge et al. 2021, https://arxiv.org/abs/2104.08758)
and by people of some regions and occupations (Lucy et al. 2024, https://arxiv.org/abs/2401.06408). So: say who chose
the positive texts, look at what goes (rejected documents stay, with their scores), and keep a share rather than all
above a score where sources should not vanish as a whole.

Modules: ``model`` (one way from text to score), ``texts`` (where texts come from), ``train``, ``report`` (how good it
is on texts that it has not seen), ``stage`` (the best share of a run); the filter is ``curation.filters.quality``.
"""
