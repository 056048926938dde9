"""Sentences in many languages, written for these tests, and the legacy charsets that can hold them."""

# ruff: noqa: E501 (sentences are not wrapped)

SENTENCES: dict[str, tuple[str, ...]] = {
    "afr_Latn": (
        "Ons het gister die hele dag langs die see gestap, en teen die aand was almal moeg maar baie gelukkig.",
        "Die biblioteek in die dorp is elke oggend oop, behalwe Sondae, en jy mag soveel boeke leen as jy wil.",
    ),
    "amh_Ethi": (
        "ትናንት ከጓደኞቼ ጋር ወደ ገበያ ሄጄ ብዙ ፍራፍሬና አትክልት ገዛሁ፤ ከዚያም በአውቶቡስ ወደ ቤት ተመለስን።",
        "በከተማችን ያለው ቤተ መጻሕፍት በየቀኑ ጠዋት ይከፈታል፤ ሁሉም ሰው መጻሕፍትን መዋስ ይችላል።",
    ),
    "arb_Arab": (
        "ذهبنا أمس إلى السوق القديم في وسط المدينة واشترينا بعض الخضروات والفواكه الطازجة، ثم عدنا إلى البيت قبل المساء.",
        "تفتح المكتبة العامة أبوابها كل صباح ما عدا يوم الجمعة، ويمكن لكل قارئ أن يستعير خمسة كتب في الشهر.",
    ),
    "azj_Latn": (
        "Dünən dostlarımla birlikdə köhnə şəhərdə gəzdik, sonra kiçik bir çayxanada oturub uzun-uzun söhbət etdik.",
        "Kənddəki kitabxana hər gün səhər açılır və istəyən hər kəs oradan kitab götürə bilər.",
    ),
    "bel_Cyrl": (
        "Учора мы цэлы дзень гулялі каля возера, а ўвечары сядзелі ля вогнішча і спявалі старыя песні.",
        "Бібліятэка ў нашым горадзе працуе штодня, акрамя нядзелі, і кожны можа ўзяць адтуль некалькі кніг.",
    ),
    "ben_Beng": (
        "গতকাল আমরা নদীর ধারে অনেকক্ষণ হেঁটেছি, তারপর বাড়ি ফিরে সবাই মিলে গরম ভাত আর মাছ খেয়েছি।",
        "আমাদের শহরের গ্রন্থাগার প্রতিদিন সকালে খোলে এবং যে কেউ সেখান থেকে বই ধার নিতে পারে।",
    ),
    "bul_Cyrl": (
        "Вчера цял ден се разхождахме край реката, а вечерта седнахме в малка кръчма и си говорихме до късно.",
        "Библиотеката в нашия град е отворена всяка сутрин освен в неделя и всеки може да вземе няколко книги.",
    ),
    "cat_Latn": (
        "Ahir vam passejar tot el dia vora el riu i al vespre ens vam asseure a la plaça a prendre un refresc.",
        "La biblioteca del poble obre cada matí, llevat dels diumenges, i tothom hi pot agafar llibres en préstec.",
    ),
    "ces_Latn": (
        "Včera jsme se celý den procházeli podél řeky a večer jsme si v malé hospůdce dali teplou večeři.",
        "Městská knihovna je otevřena každé ráno kromě neděle a čtenáři si mohou půjčit libovolný počet knížek.",
    ),
    "cmn_Hani": (
        "昨天我们沿着河边走了很久,晚上在一家小饭馆吃了热腾腾的面条,然后坐公共汽车回家。这座城市的图书馆每天早上开门,只有星期天休息。",
        "天气预报说明天会下雨,所以我们决定把旅行推迟到下个星期。妈妈已经准备好了所有的东西,孩子们都觉得有点失望。",
    ),
    "dan_Latn": (
        "I går gik vi en lang tur langs stranden, og om aftenen spiste vi fisk på en lille kro ved havnen.",
        "Biblioteket i byen er åbent hver morgen undtagen søndag, og man må låne så mange bøger, man ønsker.",
    ),
    "deu_Latn": (
        "Gestern sind wir den ganzen Tag am Fluss entlang gewandert, und abends gab es für alle heiße Suppe mit Brot.",
        "Die Bücherei öffnet jeden Morgen außer sonntags, und man darf so viele Bücher mitnehmen, wie man möchte.",
    ),
    "ekk_Latn": (
        "Eile jalutasime terve päeva mööda jõeäärt ja õhtul istusime väikeses kõrtsis ning sõime sooja suppi.",
        "Linna raamatukogu on avatud igal hommikul peale pühapäeva ja igaüks võib sealt raamatuid koju laenata.",
    ),
    "ell_Grek": (
        "Χθες περπατήσαμε όλη μέρα δίπλα στο ποτάμι και το βράδυ φάγαμε ψάρι σε μια μικρή ταβέρνα στο λιμάνι.",
        "Η βιβλιοθήκη της πόλης ανοίγει κάθε πρωί εκτός από την Κυριακή και όλοι μπορούν να δανειστούν βιβλία.",
    ),
    "eng_Latn": (
        "Yesterday we walked along the river for hours, and in the evening we had hot soup in a small inn.",
        "The town library opens every morning except on Sundays, and you may borrow as many books as you like.",
    ),
    "epo_Latn": (
        "Hieraŭ ni promenis la tutan tagon laŭlonge de la rivero, kaj vespere ni manĝis varman supon kun pano.",
        "La biblioteko de nia urbo malfermiĝas ĉiumatene, krom dimanĉe, kaj ĉiu rajtas prunti kelkajn librojn.",
    ),
    "eus_Latn": (
        "Atzo egun osoan ibili ginen ibaiaren ondoan paseatzen, eta gauean zopa beroa afaldu genuen taberna txiki batean.",
        "Herriko liburutegia goizero irekitzen da, igandeetan izan ezik, eta edonork har ditzake liburuak maileguan.",
    ),
    "fas_Arab": (
        "دیروز تمام روز کنار رودخانه قدم زدیم و شب در یک رستوران کوچک شام گرمی خوردیم و بعد با اتوبوس به خانه برگشتیم.",
        "کتابخانه شهر هر روز صبح به جز جمعه‌ها باز است و هر کسی می‌تواند چند کتاب از آنجا امانت بگیرد.",
    ),
    "fil_Latn": (
        "Kahapon ay naglakad kami buong araw sa tabi ng ilog, at kinagabihan ay kumain kami ng mainit na sabaw.",
        "Bukas ang aklatan ng bayan tuwing umaga maliban kung Linggo, at puwedeng humiram ng libro ang sinuman.",
    ),
    "fin_Latn": (
        "Eilen kävelimme koko päivän joen rantaa pitkin, ja illalla söimme lämmintä keittoa pienessä majatalossa.",
        "Kaupungin kirjasto on auki joka aamu paitsi sunnuntaisin, ja sieltä saa lainata niin monta kirjaa kuin haluaa.",
    ),
    "fra_Latn": (
        "Hier, nous avons marché toute la journée au bord de la rivière, puis nous avons dîné près du vieux château.",
        "La bibliothèque de la ville est ouverte chaque matin, sauf le dimanche ; on peut y emprunter des livres à volonté.",
    ),
    "gle_Latn": (
        "Shiúlamar cois na habhann ar feadh an lae inné, agus bhí anraith te againn tráthnóna i dteach beag tábhairne.",
        "Bíonn leabharlann an bhaile ar oscailt gach maidin seachas an Domhnach, agus is féidir le gach duine leabhair a fháil.",
    ),
    "glg_Latn": (
        "Onte camiñamos todo o día pola beira do río e pola noite ceamos unha sopa quente nunha taberna pequena.",
        "A biblioteca da vila abre todas as mañás, agás os domingos, e calquera pode levar prestados os libros que queira.",
    ),
    "guj_Gujr": (
        "ગઈકાલે અમે આખો દિવસ નદીના કિનારે ફર્યા અને સાંજે ઘરે આવીને બધાએ સાથે ગરમ ખીચડી ખાધી.",
        "શહેરનું પુસ્તકાલય રવિવાર સિવાય દરરોજ સવારે ખૂલે છે અને કોઈપણ વ્યક્તિ ત્યાંથી પુસ્તકો લઈ શકે છે.",
    ),
    "heb_Hebr": (
        "אתמול טיילנו כל היום לאורך הנהר, ובערב אכלנו מרק חם במסעדה קטנה ליד הנמל וחזרנו הביתה באוטובוס.",
        "הספרייה העירונית פתוחה בכל בוקר חוץ משבת, וכל אחד יכול לשאול ממנה כמה ספרים שהוא רוצה.",
    ),
    "hin_Deva": (
        "कल हम लोग दिन भर नदी के किनारे घूमते रहे और शाम को घर लौटकर सबने साथ में गरम खाना खाया।",
        "शहर का पुस्तकालय रविवार को छोड़कर हर सुबह खुलता है और कोई भी वहाँ से किताबें ले सकता है।",
    ),
    "hrv_Latn": (
        "Jučer smo cijeli dan šetali uz rijeku, a navečer smo u maloj gostionici pojeli toplu juhu s kruhom.",
        "Gradska knjižnica otvorena je svakog jutra osim nedjeljom, a svatko može posuditi onoliko knjiga koliko želi.",
    ),
    "hun_Latn": (
        "Tegnap egész nap a folyóparton sétáltunk, este pedig meleg levest ettünk egy kis fogadóban a főtér mellett.",
        "A városi könyvtár vasárnap kivételével minden reggel nyitva van, és bárki kölcsönözhet tőlük könyveket.",
    ),
    "hye_Armn": (
        "Երեկ մենք ամբողջ օրը քայլեցինք գետի ափով, իսկ երեկոյան տաք ապուր կերանք փոքրիկ պանդոկում։",
        "Քաղաքի գրադարանը բացվում է ամեն առավոտ, բացի կիրակի օրերից, և յուրաքանչյուրը կարող է գրքեր վերցնել։",
    ),
    "ind_Latn": (
        "Kemarin kami berjalan kaki sepanjang hari di tepi sungai, lalu malamnya makan sup hangat di warung kecil.",
        "Perpustakaan kota buka setiap pagi kecuali hari Minggu, dan siapa pun boleh meminjam buku sebanyak yang diinginkan.",
    ),
    "isl_Latn": (
        "Í gær gengum við allan daginn meðfram ánni og um kvöldið borðuðum við heita súpu á lítilli krá við höfnina.",
        "Bókasafnið í bænum er opið alla morgna nema á sunnudögum og þar má fá lánaðar eins margar bækur og maður vill.",
    ),
    "ita_Latn": (
        "Ieri abbiamo camminato tutto il giorno lungo il fiume e la sera abbiamo mangiato una zuppa calda: che bontà!",
        "La biblioteca della città è aperta ogni mattina, tranne la domenica; chiunque può prendere in prestito più libri.",
    ),
    "jpn_Jpan": (
        "昨日は一日中川沿いを歩いて、夜は港の近くの小さな食堂で温かいスープを飲みました。それからバスに乗って家に帰りました。",
        "町の図書館は日曜日を除いて毎朝開いています。カードを作れば、だれでも好きな本を何冊でも借りることができます。",
    ),
    "kan_Knda": (
        "ನಿನ್ನೆ ನಾವು ಇಡೀ ದಿನ ನದಿಯ ದಡದಲ್ಲಿ ನಡೆದಾಡಿದೆವು, ಸಂಜೆ ಮನೆಗೆ ಬಂದು ಬಿಸಿ ಊಟ ಮಾಡಿದೆವು.",
        "ನಗರದ ಗ್ರಂಥಾಲಯ ಭಾನುವಾರ ಹೊರತುಪಡಿಸಿ ಪ್ರತಿದಿನ ಬೆಳಿಗ್ಗೆ ತೆರೆದಿರುತ್ತದೆ, ಯಾರಾದರೂ ಪುಸ್ತಕ ಪಡೆಯಬಹುದು.",
    ),
    "kat_Geor": (
        "გუშინ მთელი დღე მდინარის პირას ვსეირნობდით, საღამოს კი პატარა დუქანში ცხელი წვნიანი ვჭამეთ.",
        "ქალაქის ბიბლიოთეკა ყოველ დილით იხსნება, კვირის გარდა, და ყველას შეუძლია წიგნების წაღება.",
    ),
    "kaz_Cyrl": (
        "Кеше біз күні бойы өзен жағасында серуендедік, ал кешке шағын асханада ыстық сорпа іштік.",
        "Қаладағы кітапхана жексенбіден басқа күні таңертең ашылады, кез келген адам кітап ала алады.",
    ),
    "khm_Khmr": (
        "ម្សិលមិញ យើងបានដើរលេងតាមមាត់ទន្លេពេញមួយថ្ងៃ ហើយនៅពេលល្ងាច យើងបានញ៉ាំអាហារក្តៅៗជាមួយគ្នា។",
        "បណ្ណាល័យក្នុងទីក្រុងបើករៀងរាល់ព្រឹក លើកលែងតែថ្ងៃអាទិត្យ ហើយអ្នកណាក៏អាចខ្ចីសៀវភៅបានដែរ។",
    ),
    "kor_Hang": (
        "어제는 하루 종일 강가를 따라 걸었고, 저녁에는 항구 근처의 작은 식당에서 따뜻한 국을 먹었습니다. 그리고 버스를 타고 집에 왔어요.",
        "시립 도서관은 일요일을 빼고 매일 아침에 문을 엽니다. 회원증만 만들면 누구나 원하는 만큼 책을 빌릴 수 있습니다.",
    ),
    "lit_Latn": (
        "Vakar visą dieną vaikščiojome palei upę, o vakare mažoje užeigoje valgėme karštą sriubą su šviežia duona.",
        "Miesto biblioteka atidaryta kiekvieną rytą, išskyrus sekmadienius, ir kiekvienas gali pasiskolinti knygų.",
    ),
    "lvs_Latn": (
        "Vakar mēs visu dienu staigājām gar upi, un vakarā mazā krodziņā ēdām karstu zupu ar svaigu maizi.",
        "Pilsētas bibliotēka ir atvērta katru rītu, izņemot svētdienas, un ikviens var aizņemties grāmatas.",
    ),
    "mal_Mlym": (
        "ഇന്നലെ ഞങ്ങൾ പകൽ മുഴുവൻ പുഴയോരത്ത് നടന്നു, വൈകുന്നേരം വീട്ടിലെത്തി ചൂടുള്ള ഭക്ഷണം കഴിച്ചു.",
        "നഗരത്തിലെ വായനശാല ഞായറാഴ്ച ഒഴികെ എല്ലാ ദിവസവും രാവിലെ തുറക്കും, ആർക്കും പുസ്തകങ്ങൾ എടുക്കാം.",
    ),
    "mar_Deva": (
        "काल आम्ही दिवसभर नदीच्या काठाने फिरलो आणि संध्याकाळी घरी येऊन सगळ्यांनी गरम जेवण केले.",
        "शहरातील वाचनालय रविवार सोडून रोज सकाळी उघडते आणि कोणालाही तिथून पुस्तके घेता येतात.",
    ),
    "mkd_Cyrl": (
        "Вчера цел ден шетавме покрај реката, а навечер јадевме топла супа во една мала гостилница.",
        "Градската библиотека е отворена секое утро освен во недела и секој може да позајми книги.",
    ),
    "mya_Mymr": (
        "မနေ့က ကျွန်တော်တို့ တစ်နေ့လုံး မြစ်ကမ်းဘေးမှာ လမ်းလျှောက်ပြီး ညနေမှာ ဆိုင်လေးတစ်ဆိုင်မှာ ထမင်းစားခဲ့တယ်။",
        "မြို့ရဲ့ စာကြည့်တိုက်ကို တနင်္ဂနွေနေ့မှလွဲပြီး မနက်တိုင်း ဖွင့်ထားလို့ ဘယ်သူမဆို စာအုပ် ငှားနိုင်ပါတယ်။",
    ),
    "nld_Latn": (
        "Gisteren hebben we de hele dag langs de rivier gelopen en 's avonds aten we warme soep in een klein café.",
        "De bibliotheek is elke ochtend geopend, behalve op zondag, en je mag zoveel boeken lenen als je wilt: één grote ruïne vol boeken.",
    ),
    "nob_Latn": (
        "I går gikk vi langs elven hele dagen, og om kvelden spiste vi varm suppe på en liten kro ved brygga.",
        "Biblioteket i byen er åpent hver morgen unntatt søndag, og du kan låne så mange bøker du ønsker.",
    ),
    "npi_Deva": (
        "हिजो हामी दिनभरि नदीको किनारमा हिँड्यौं र साँझ घर फर्केर सबैले सँगै तातो खाना खायौं।",
        "सहरको पुस्तकालय आइतबार बाहेक हरेक बिहान खुल्छ र जोसुकैले पनि त्यहाँबाट किताब लैजान सक्छन्।",
    ),
    "pan_Guru": (
        "ਕੱਲ੍ਹ ਅਸੀਂ ਸਾਰਾ ਦਿਨ ਦਰਿਆ ਦੇ ਕੰਢੇ ਘੁੰਮਦੇ ਰਹੇ ਅਤੇ ਸ਼ਾਮ ਨੂੰ ਘਰ ਆ ਕੇ ਗਰਮ ਰੋਟੀ ਖਾਧੀ।",
        "ਸ਼ਹਿਰ ਦੀ ਲਾਇਬ੍ਰੇਰੀ ਐਤਵਾਰ ਨੂੰ ਛੱਡ ਕੇ ਹਰ ਰੋਜ਼ ਸਵੇਰੇ ਖੁੱਲ੍ਹਦੀ ਹੈ ਅਤੇ ਕੋਈ ਵੀ ਕਿਤਾਬਾਂ ਲੈ ਸਕਦਾ ਹੈ।",
    ),
    "pol_Latn": (
        "Wczoraj przez cały dzień spacerowaliśmy wzdłuż rzeki, a wieczorem zjedliśmy gorącą zupę w małej gospodzie.",
        "Biblioteka miejska jest otwarta każdego ranka oprócz niedzieli i każdy może wypożyczyć tyle książek, ile zechce.",
    ),
    "por_Latn": (
        "Ontem caminhamos o dia inteiro pela margem do rio e à noite tomamos uma sopa quente numa pensão. Não foi bom?",
        "A biblioteca da cidade abre todas as manhãs, exceto aos domingos, e você pode levar até três livros por mês.",
    ),
    "ron_Latn": (
        "Ieri ne-am plimbat toată ziua pe malul râului, iar seara am mâncat o supă caldă într-un han mic din centru.",
        "Biblioteca orașului este deschisă în fiecare dimineață, în afară de duminică, și oricine poate împrumuta cărți.",
    ),
    "rus_Cyrl": (
        "Вчера мы весь день гуляли вдоль реки, а вечером ели горячий суп в маленьком трактире у пристани.",
        "Городская библиотека открыта каждое утро, кроме воскресенья, и любой желающий может взять несколько книг.",
    ),
    "sin_Sinh": (
        "ඊයේ අපි මුළු දවසම ගඟ දිගේ ඇවිද ගියෙමු, සවස ගෙදර ඇවිත් හැමෝම එකට උණුසුම් කෑම කෑවා.",
        "නගරයේ පුස්තකාලය ඉරිදා හැර සෑම උදෑසනකම විවෘතයි, ඕනෑම කෙනෙකුට පොත් ගෙන යා හැකිය.",
    ),
    "slk_Latn": (
        "Včera sme sa celý deň prechádzali popri rieke a večer sme v malej krčme zjedli horúcu polievku s chlebom.",
        "Mestská knižnica je otvorená každé ráno okrem nedele a každý si môže požičať toľko kníh, koľko len chce.",
    ),
    "slv_Latn": (
        "Včeraj smo se ves dan sprehajali ob reki, zvečer pa smo v majhni gostilni pojedli toplo juho s kruhom.",
        "Mestna knjižnica je odprta vsako jutro razen ob nedeljah in vsakdo si lahko izposodi toliko knjig, kolikor želi.",
    ),
    "als_Latn": (
        "Dje ecëm tërë ditën buzë lumit dhe në mbrëmje hëngrëm një supë të ngrohtë në një bujtinë të vogël.",
        "Biblioteka e qytetit është e hapur çdo mëngjes përveç të dielës dhe kushdo mund të marrë libra hua.",
    ),
    "spa_Latn": (
        "Ayer caminamos todo el día por la orilla del río y por la noche cenamos sopa caliente en una pequeña posada.",
        "La biblioteca del pueblo abre todas las mañanas, excepto los domingos; cualquiera puede llevarse más de un libro.",
    ),
    "srp_Cyrl": (
        "Јуче смо цео дан шетали поред реке, а увече смо јели топлу супу у малој кафани код пристаништа.",
        "Градска библиотека је отворена сваког јутра осим недељом и свако може да позајми неколико књига.",
    ),
    "swe_Latn": (
        "I går promenerade vi längs ån hela dagen, och på kvällen åt vi varm soppa på ett litet värdshus.",
        "Stadens bibliotek är öppet varje morgon utom på söndagar, och man får låna så många böcker man vill.",
    ),
    "swh_Latn": (
        "Jana tulitembea siku nzima kando ya mto, na jioni tukala chakula cha moto katika mgahawa mdogo.",
        "Maktaba ya mji hufunguliwa kila asubuhi isipokuwa Jumapili, na mtu yeyote anaweza kuazima vitabu.",
    ),
    "tam_Taml": (
        "நேற்று நாங்கள் நாள் முழுவதும் ஆற்றங்கரையில் நடந்தோம், மாலையில் வீட்டிற்கு வந்து சூடான உணவு சாப்பிட்டோம்.",
        "நகர நூலகம் ஞாயிற்றுக்கிழமை தவிர தினமும் காலையில் திறந்திருக்கும், யார் வேண்டுமானாலும் புத்தகம் எடுக்கலாம்.",
    ),
    "tel_Telu": (
        "నిన్న మేము రోజంతా నది ఒడ్డున నడిచాము, సాయంత్రం ఇంటికి వచ్చి అందరం కలిసి వేడి భోజనం చేశాము.",
        "పట్టణంలోని గ్రంథాలయం ఆదివారం తప్ప ప్రతి ఉదయం తెరిచి ఉంటుంది, ఎవరైనా పుస్తకాలు తీసుకోవచ్చు.",
    ),
    "tha_Thai": (
        "เมื่อวานเราเดินเล่นริมแม่น้ำทั้งวัน พอตกเย็นก็กินต้มยำร้อน ๆ ที่ร้านเล็ก ๆ ใกล้ท่าเรือ แล้วนั่งรถเมล์กลับบ้าน",
        "ห้องสมุดของเมืองเปิดทุกเช้ายกเว้นวันอาทิตย์ ใครก็ยืมหนังสือได้มากเท่าที่ต้องการ ขอเพียงทำบัตรสมาชิกก่อน",
    ),
    "tur_Latn": (
        "Dün bütün gün ırmak boyunca yürüdük, akşam da küçük bir lokantada sıcak çorba içip eve döndük.",
        "Şehir kütüphanesi pazar günleri dışında her sabah açılır ve isteyen herkes oradan kitap ödünç alabilir.",
    ),
    "ukr_Cyrl": (
        "Учора ми цілий день гуляли вздовж річки, а ввечері їли гарячу юшку в маленькій корчмі біля пристані.",
        "Міська бібліотека відчинена щоранку, крім неділі, і кожен охочий може взяти додому кілька книжок.",
    ),
    "urd_Arab": (
        "کل ہم سارا دن دریا کے کنارے گھومتے رہے اور شام کو گھر واپس آ کر سب نے مل کر گرم کھانا کھایا۔",
        "شہر کا کتب خانہ اتوار کے سوا ہر صبح کھلتا ہے اور کوئی بھی شخص وہاں سے کتابیں لے سکتا ہے۔",
    ),
    "vie_Latn": (
        "Hôm qua chúng tôi đi dạo dọc bờ sông cả ngày, buổi tối ăn phở nóng trong một quán nhỏ gần bến cảng.",
        "Thư viện thành phố mở cửa mỗi buổi sáng trừ chủ nhật, và ai cũng có thể mượn bao nhiêu sách tùy thích.",
    ),
}  # fmt: skip
"""Two sentences a language, by ``code_Script`` (ISO 639-3, ISO 15924)."""

TRADITIONAL_CHINESE = (
    "昨天我們沿著河邊走了很久,晚上在一家小飯館吃了熱騰騰的麵條,然後坐公車回家。這座城市的圖書館每天早上開門,只有星期天休息。",
    "天氣預報說明天會下雨,所以我們決定把旅行延後到下個星期。媽媽已經準備好了所有的東西,孩子們都覺得有點失望。",
)

SERBIAN_LATIN = (
    "Juče smo ceo dan šetali pored reke, a uveče smo jeli toplu supu u maloj kafani kod pristaništa.",
    "Gradska biblioteka je otvorena svakog jutra osim nedeljom i svako može da pozajmi nekoliko knjiga.",
)

LEGACY: dict[str, tuple[str, ...]] = {
    "cp949": ("kor_Hang",),
    "cp932": ("jpn_Jpan",),
    "euc_jp": ("jpn_Jpan",),
    "iso2022_jp": ("jpn_Jpan",),
    "gb18030": ("cmn_Hani",),
    "big5": ("TRADITIONAL",),
    "cp1251": ("rus_Cyrl", "ukr_Cyrl", "bul_Cyrl", "srp_Cyrl", "bel_Cyrl", "mkd_Cyrl"),
    "koi8_r": ("rus_Cyrl",),
    "cp1252": (
        "cat_Latn", "dan_Latn", "deu_Latn", "fin_Latn", "fra_Latn", "gle_Latn", "glg_Latn",
        "isl_Latn", "ita_Latn", "nld_Latn", "nob_Latn", "por_Latn", "spa_Latn", "swe_Latn", "als_Latn",
    ),
    "cp1250": ("ces_Latn", "hrv_Latn", "hun_Latn", "pol_Latn", "slk_Latn", "slv_Latn"),
    "iso8859_2": ("ces_Latn", "hrv_Latn", "hun_Latn", "pol_Latn", "slk_Latn", "slv_Latn"),
    "cp1253": ("ell_Grek",),
    "iso8859_7": ("ell_Grek",),
    "cp1254": ("tur_Latn",),
    "cp1255": ("heb_Hebr",),
    "cp1256": ("arb_Arab",),
    "cp1257": ("lit_Latn", "lvs_Latn"),
    "cp874": ("tha_Thai",),
    "utf_16_le": ("eng_Latn", "fra_Latn", "rus_Cyrl", "ell_Grek", "jpn_Jpan", "kor_Hang", "cmn_Hani", "arb_Arab", "hin_Deva"),
    "utf_16_be": ("eng_Latn", "fra_Latn", "rus_Cyrl", "ell_Grek", "jpn_Jpan", "kor_Hang", "cmn_Hani", "arb_Arab", "hin_Deva"),
}  # fmt: skip
"""Charset (Python's name) -> languages of SENTENCES that it can hold; TRADITIONAL is the tuple above."""


def sentences(language: str) -> tuple[str, ...]:
    """The sentences of one language of ``LEGACY``."""
    return TRADITIONAL_CHINESE if language == "TRADITIONAL" else SENTENCES[language]


def page(text: str, *, meta: str | None = None, title: str = "") -> str:
    """A small but whole HTML page with mostly ASCII markup around ``text``."""
    tag = f'<meta http-equiv="Content-Type" content="text/html; charset={meta}">' if meta else ""
    return (
        f"<!DOCTYPE html>\n<html><head>{tag}<title>{title or text[:20]}</title>"
        '<style type="text/css">body { margin: 0 auto; color: #333 }</style>'
        '<script>var items = ["home", "news", "about"]; items.forEach(function (x) { show(x); });</script>'
        '</head><body><div class="menu"><a href="/index.html">Home</a> <a href="/news?id=12">News</a></div>'
        f'<div id="content"><p>{text}</p></div><div class="footer">Copyright 2009 example.org</div></body></html>'
    )
